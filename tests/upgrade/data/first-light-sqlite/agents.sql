BEGIN TRANSACTION;
CREATE TABLE executions (
	project_id VARCHAR(36) NOT NULL, 
	user_id VARCHAR(36) NOT NULL, 
	run_id VARCHAR(36) NOT NULL, 
	task_id VARCHAR(64) NOT NULL, 
	run_epoch INTEGER NOT NULL, 
	attempt INTEGER NOT NULL, 
	updated_at DATETIME NOT NULL, 
	PRIMARY KEY (project_id, user_id, run_id, task_id), 
	FOREIGN KEY(project_id, user_id) REFERENCES worker_spaces (project_id, user_id)
);
INSERT INTO "executions" VALUES('e75ae69a-4104-46f4-917d-04d101b6104a','a1111111-1111-4111-8111-111111111111','1694bde7-17ff-45ee-a69a-4275abb2b0e2','answer',1,1,'2026-11-23 04:30:38.100582');
INSERT INTO "executions" VALUES('e75ae69a-4104-46f4-917d-04d101b6104a','a1111111-1111-4111-8111-111111111111','85eb460b-14c6-4404-bd14-582380a66521','answer',1,1,'2026-11-23 04:30:38.474231');
INSERT INTO "executions" VALUES('e75ae69a-4104-46f4-917d-04d101b6104a','a1111111-1111-4111-8111-111111111111','cef59433-c5c4-4246-8887-a847302380e2','answer',1,1,'2026-11-23 04:30:38.505199');
INSERT INTO "executions" VALUES('15731e81-0c49-46d9-822b-a3250c26bf43','b2222222-2222-4222-8222-222222222222','12888251-d846-467b-be52-7afc9ddea4b9','answer',1,1,'2026-11-23 04:30:39.674492');
INSERT INTO "executions" VALUES('15731e81-0c49-46d9-822b-a3250c26bf43','b2222222-2222-4222-8222-222222222222','d9233eb2-d08c-4015-98e5-04575bb46f2d','answer',1,1,'2026-11-23 04:30:39.719175');
INSERT INTO "executions" VALUES('15731e81-0c49-46d9-822b-a3250c26bf43','b2222222-2222-4222-8222-222222222222','bd726b75-2d47-4c68-93b4-f84fb8c1323d','answer',1,1,'2026-11-23 04:30:39.765929');
CREATE TABLE idempotency_keys (
	user_id VARCHAR(36) NOT NULL, 
	scope VARCHAR(40) NOT NULL, 
	request_id VARCHAR(128) NOT NULL, 
	fingerprint VARCHAR(64) NOT NULL, 
	resource_id VARCHAR(36) NOT NULL, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (user_id, scope, request_id)
);
CREATE TABLE user_agents (
	id VARCHAR(36) NOT NULL, 
	project_id VARCHAR(36) NOT NULL, 
	user_id VARCHAR(36) NOT NULL, 
	name VARCHAR(100) NOT NULL, 
	status VARCHAR(10) NOT NULL, 
	config JSON NOT NULL, 
	revision INTEGER NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(project_id, user_id) REFERENCES worker_spaces (project_id, user_id), 
	UNIQUE (project_id, user_id, name)
);
INSERT INTO "user_agents" VALUES('f9805b1c-57ec-40fe-8b7d-adec27560a01','e75ae69a-4104-46f4-917d-04d101b6104a','a1111111-1111-4111-8111-111111111111','CodeAssistant','ready','{"system_prompt": "You are CodeAssistant, a senior software engineer who works with the user on their code.\n\n- Answer the question that was asked, then stop. Show code first and explain only what is not obvious from it.\n- Write code that runs as it stands: complete imports, no placeholders, in the language, style and versions of the user''s project. If these are unknown and matter, say what you assume.\n- When something is broken, find the cause before you propose a change; say how you know it and how to verify the fix.\n- Point out bugs, security holes and lost data that you notice on the way, in one line each. Do not rewrite what was not asked for.\n- Prefer the standard library and what the project already uses to a new dependency.\n- Put code in fenced blocks with the language''s name. Say plainly when you are not sure, and never invent an API.\n", "model": "", "tools": [], "concurrency_limit": 2, "burst_limit": null, "temperature": 0.2, "max_tokens": 4096, "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}}',1,'2026-11-23 04:30:38.001337','2026-11-23 04:30:38.001337');
INSERT INTO "user_agents" VALUES('d521703d-0e39-4f32-9d5a-a1b48524245b','e75ae69a-4104-46f4-917d-04d101b6104a','a1111111-1111-4111-8111-111111111111','DataAnalyst','ready','{"system_prompt": "You are DataAnalyst, an analyst who turns data into answers that hold.\n\n- Begin with the answer in a sentence or two, with the numbers that carry it; then show how you got there.\n- State what the data is, how much of it there is, what is missing from it and what you assumed. Check for duplicates, gaps, outliers and mixed units before you calculate.\n- Tell correlation from causation and signal from noise: give sample sizes and, where they matter, intervals.\n- Show calculations so that they can be repeated: SQL or Python (pandas unless told otherwise) that runs as it stands.\n- Use tables for comparisons, name units and periods, and round to what the data supports. When a chart says it better, give the code that draws it.\n- Never make up data. If the question cannot be answered from what is there, say what is needed.\n", "model": "", "tools": [], "concurrency_limit": 2, "burst_limit": null, "temperature": 0.2, "max_tokens": 4096, "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}}',1,'2026-11-23 04:30:38.001336','2026-11-23 04:30:38.001336');
INSERT INTO "user_agents" VALUES('f70d6f5b-2b85-4b2d-bff4-62b9e0514ebe','e75ae69a-4104-46f4-917d-04d101b6104a','a1111111-1111-4111-8111-111111111111','DocumentWriter','ready','{"system_prompt": "You are DocumentWriter, a technical writer who makes things clear to the people who must use them.\n\n- Find out, or state your assumption, who reads the text and what they want to do with it; write for that.\n- Lead with what the reader needs most. One idea a paragraph, short sentences, active voice, concrete words.\n- Use headings that say something, lists for steps and for what is enumerated, examples for what is abstract.\n- Keep terms the same throughout, and keep the user''s voice and facts when you edit; say what you changed if it alters the meaning.\n- Write Markdown unless asked for another format. Deliver the text itself, without remarks about it before or after.\n- Never invent facts, names, figures or quotations: mark each gap as [to be filled: what is missing].\n", "model": "", "tools": [], "concurrency_limit": 2, "burst_limit": null, "temperature": 0.7, "max_tokens": 4096, "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}}',1,'2026-11-23 04:30:38.001335','2026-11-23 04:30:38.001335');
INSERT INTO "user_agents" VALUES('a1f136fc-7bae-4920-ba51-bd2d189e144f','e75ae69a-4104-46f4-917d-04d101b6104a','a1111111-1111-4111-8111-111111111111','Helper','ready','{"system_prompt": "Br\u00e9f. \ud834\udd1e", "model": "", "tools": ["search"], "concurrency_limit": 2, "burst_limit": null, "temperature": 0.25, "max_tokens": 4096, "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {"team": ["a", null, 1.5]}}',1,'2026-11-23 04:30:38.057865','2026-11-23 04:30:38.057865');
INSERT INTO "user_agents" VALUES('c157e9b6-841a-4e89-96bb-b5744929e0fa','15731e81-0c49-46d9-822b-a3250c26bf43','b2222222-2222-4222-8222-222222222222','CodeAssistant','ready','{"system_prompt": "You are CodeAssistant, a senior software engineer who works with the user on their code.\n\n- Answer the question that was asked, then stop. Show code first and explain only what is not obvious from it.\n- Write code that runs as it stands: complete imports, no placeholders, in the language, style and versions of the user''s project. If these are unknown and matter, say what you assume.\n- When something is broken, find the cause before you propose a change; say how you know it and how to verify the fix.\n- Point out bugs, security holes and lost data that you notice on the way, in one line each. Do not rewrite what was not asked for.\n- Prefer the standard library and what the project already uses to a new dependency.\n- Put code in fenced blocks with the language''s name. Say plainly when you are not sure, and never invent an API.\n", "model": "", "tools": [], "concurrency_limit": 2, "burst_limit": null, "temperature": 0.2, "max_tokens": 4096, "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}}',1,'2026-11-23 04:30:39.594140','2026-11-23 04:30:39.594140');
INSERT INTO "user_agents" VALUES('a9eeb7ce-2b0a-44da-a05f-e9dafd5f4fcb','15731e81-0c49-46d9-822b-a3250c26bf43','b2222222-2222-4222-8222-222222222222','DataAnalyst','ready','{"system_prompt": "You are DataAnalyst, an analyst who turns data into answers that hold.\n\n- Begin with the answer in a sentence or two, with the numbers that carry it; then show how you got there.\n- State what the data is, how much of it there is, what is missing from it and what you assumed. Check for duplicates, gaps, outliers and mixed units before you calculate.\n- Tell correlation from causation and signal from noise: give sample sizes and, where they matter, intervals.\n- Show calculations so that they can be repeated: SQL or Python (pandas unless told otherwise) that runs as it stands.\n- Use tables for comparisons, name units and periods, and round to what the data supports. When a chart says it better, give the code that draws it.\n- Never make up data. If the question cannot be answered from what is there, say what is needed.\n", "model": "", "tools": [], "concurrency_limit": 2, "burst_limit": null, "temperature": 0.2, "max_tokens": 4096, "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}}',1,'2026-11-23 04:30:39.594139','2026-11-23 04:30:39.594139');
INSERT INTO "user_agents" VALUES('300281da-3aef-4c7e-ba2f-f4a72bbd7deb','15731e81-0c49-46d9-822b-a3250c26bf43','b2222222-2222-4222-8222-222222222222','DocumentWriter','ready','{"system_prompt": "You are DocumentWriter, a technical writer who makes things clear to the people who must use them.\n\n- Find out, or state your assumption, who reads the text and what they want to do with it; write for that.\n- Lead with what the reader needs most. One idea a paragraph, short sentences, active voice, concrete words.\n- Use headings that say something, lists for steps and for what is enumerated, examples for what is abstract.\n- Keep terms the same throughout, and keep the user''s voice and facts when you edit; say what you changed if it alters the meaning.\n- Write Markdown unless asked for another format. Deliver the text itself, without remarks about it before or after.\n- Never invent facts, names, figures or quotations: mark each gap as [to be filled: what is missing].\n", "model": "", "tools": [], "concurrency_limit": 2, "burst_limit": null, "temperature": 0.7, "max_tokens": 4096, "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}}',1,'2026-11-23 04:30:39.594138','2026-11-23 04:30:39.594138');
INSERT INTO "user_agents" VALUES('5ff15a7b-b29a-485e-9e18-5b8d9390e9ed','15731e81-0c49-46d9-822b-a3250c26bf43','b2222222-2222-4222-8222-222222222222','Helper','ready','{"system_prompt": "Br\u00e9f. \ud834\udd1e", "model": "", "tools": ["search"], "concurrency_limit": 2, "burst_limit": null, "temperature": 0.25, "max_tokens": 4096, "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {"team": ["a", null, 1.5]}}',1,'2026-11-23 04:30:39.648953','2026-11-23 04:30:39.648953');
CREATE TABLE worker_spaces (
	project_id VARCHAR(36) NOT NULL, 
	user_id VARCHAR(36) NOT NULL, 
	state VARCHAR(10) NOT NULL, 
	updated_at DATETIME NOT NULL, 
	PRIMARY KEY (project_id, user_id)
);
INSERT INTO "worker_spaces" VALUES('e75ae69a-4104-46f4-917d-04d101b6104a','a1111111-1111-4111-8111-111111111111','active','2026-11-23 04:30:38.001337');
INSERT INTO "worker_spaces" VALUES('27487413-3672-44f3-ab78-8b380be2dc32','a1111111-1111-4111-8111-111111111111','deleted','2026-11-23 04:30:38.035070');
INSERT INTO "worker_spaces" VALUES('15731e81-0c49-46d9-822b-a3250c26bf43','b2222222-2222-4222-8222-222222222222','active','2026-11-23 04:30:39.594140');
INSERT INTO "worker_spaces" VALUES('9533fff1-a273-4c72-b8f6-d263e52fc2a7','b2222222-2222-4222-8222-222222222222','deleted','2026-11-23 04:30:39.640581');
CREATE INDEX ix_idempotency_keys_created_at ON idempotency_keys (created_at);
CREATE UNIQUE INDEX worker_spaces_one_owner ON worker_spaces (project_id) WHERE state = 'active';
CREATE INDEX user_agents_newest ON user_agents (project_id, user_id, created_at, id);
CREATE INDEX ix_executions_updated_at ON executions (updated_at);
COMMIT;
