BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0003');
CREATE TABLE effects (
	project_id VARCHAR(36) NOT NULL, 
	user_id VARCHAR(36) NOT NULL, 
	run_id VARCHAR(36) NOT NULL, 
	task_id VARCHAR(64) NOT NULL, 
	call_id VARCHAR(100) NOT NULL, 
	tool VARCHAR(100) NOT NULL, 
	arguments TEXT NOT NULL, 
	run_epoch INTEGER NOT NULL, 
	attempt INTEGER NOT NULL, 
	started_at DATETIME NOT NULL, 
	finished_at DATETIME, 
	success BOOLEAN, 
	output TEXT, 
	PRIMARY KEY (project_id, user_id, run_id, task_id, call_id), 
	FOREIGN KEY(project_id, user_id, run_id, task_id) REFERENCES executions (project_id, user_id, run_id, task_id) ON DELETE CASCADE
);
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
INSERT INTO "executions" VALUES('d07d8501-a6ed-4545-b25b-d08c31c04f50','a1111111-1111-4111-8111-111111111111','29f68e0b-89d1-4b23-95aa-990639bad585','answer',1,1,'2026-11-27 05:18:31.803279');
INSERT INTO "executions" VALUES('d07d8501-a6ed-4545-b25b-d08c31c04f50','a1111111-1111-4111-8111-111111111111','f7ccfefa-0ab0-45c9-b07a-ae1df6d33f16','answer',1,1,'2026-11-27 05:18:32.256221');
INSERT INTO "executions" VALUES('d07d8501-a6ed-4545-b25b-d08c31c04f50','a1111111-1111-4111-8111-111111111111','b70e6c26-d269-4c6d-bbb8-61070d0b18ab','answer',1,1,'2026-11-27 05:18:32.312687');
INSERT INTO "executions" VALUES('4d61159e-9f40-4241-b27b-c1c3989d3cb7','b2222222-2222-4222-8222-222222222222','f401110c-9435-4239-acb9-fc0da401bc21','answer',1,1,'2026-11-27 05:18:33.153026');
INSERT INTO "executions" VALUES('4d61159e-9f40-4241-b27b-c1c3989d3cb7','b2222222-2222-4222-8222-222222222222','8c69ea99-2b77-4eca-b44f-0ae53e70532e','answer',1,1,'2026-11-27 05:18:33.324364');
INSERT INTO "executions" VALUES('4d61159e-9f40-4241-b27b-c1c3989d3cb7','b2222222-2222-4222-8222-222222222222','2fe1d109-7ca4-44c0-97b5-83c9c66df225','answer',1,1,'2026-11-27 05:18:33.359356');
CREATE TABLE idempotency_keys (
	user_id VARCHAR(36) NOT NULL, 
	scope VARCHAR(40) NOT NULL, 
	request_id VARCHAR(128) NOT NULL, 
	fingerprint VARCHAR(64) NOT NULL, 
	resource_id VARCHAR(36) NOT NULL, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (user_id, scope, request_id)
);
CREATE TABLE memory_collections (
	agent_id VARCHAR(36) NOT NULL, 
	project_id VARCHAR(36) NOT NULL, 
	user_id VARCHAR(36) NOT NULL, 
	embedding_model VARCHAR(200) NOT NULL, 
	dimension INTEGER NOT NULL, 
	dropped_at DATETIME, 
	PRIMARY KEY (agent_id), 
	FOREIGN KEY(project_id, user_id) REFERENCES worker_spaces (project_id, user_id)
);
INSERT INTO "memory_collections" VALUES('4a7e1902-e03d-4f9b-971f-3cdcea5166a6','d07d8501-a6ed-4545-b25b-d08c31c04f50','a1111111-1111-4111-8111-111111111111','minilm',384,NULL);
INSERT INTO "memory_collections" VALUES('2e5bcd7f-808a-415a-b752-80fd7e29222f','4d61159e-9f40-4241-b27b-c1c3989d3cb7','b2222222-2222-4222-8222-222222222222','minilm',384,NULL);
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
INSERT INTO "user_agents" VALUES('bd54a709-6847-4318-9a73-787ba5209ad4','d07d8501-a6ed-4545-b25b-d08c31c04f50','a1111111-1111-4111-8111-111111111111','CodeAssistant','ready','{"system_prompt": "You are CodeAssistant, a senior software engineer who works with the user on their code.\n\n- Answer the question that was asked, then stop. Show code first and explain only what is not obvious from it.\n- Write code that runs as it stands: complete imports, no placeholders, in the language, style and versions of the user''s project. If these are unknown and matter, say what you assume.\n- When something is broken, find the cause before you propose a change; say how you know it and how to verify the fix.\n- Point out bugs, security holes and lost data that you notice on the way, in one line each. Do not rewrite what was not asked for.\n- Prefer the standard library and what the project already uses to a new dependency.\n- Put code in fenced blocks with the language''s name. Say plainly when you are not sure, and never invent an API.\n", "model": "", "tools": [], "concurrency_limit": 2, "burst_limit": null, "temperature": 0.2, "max_tokens": 4096, "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}}',1,'2026-11-27 05:18:31.629672','2026-11-27 05:18:31.629672');
INSERT INTO "user_agents" VALUES('e16ada70-2422-46ee-9f56-898d87b200c3','d07d8501-a6ed-4545-b25b-d08c31c04f50','a1111111-1111-4111-8111-111111111111','DataAnalyst','ready','{"system_prompt": "You are DataAnalyst, an analyst who turns data into answers that hold.\n\n- Begin with the answer in a sentence or two, with the numbers that carry it; then show how you got there.\n- State what the data is, how much of it there is, what is missing from it and what you assumed. Check for duplicates, gaps, outliers and mixed units before you calculate.\n- Tell correlation from causation and signal from noise: give sample sizes and, where they matter, intervals.\n- Show calculations so that they can be repeated: SQL or Python (pandas unless told otherwise) that runs as it stands.\n- Use tables for comparisons, name units and periods, and round to what the data supports. When a chart says it better, give the code that draws it.\n- Never make up data. If the question cannot be answered from what is there, say what is needed.\n", "model": "", "tools": [], "concurrency_limit": 2, "burst_limit": null, "temperature": 0.2, "max_tokens": 4096, "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}}',1,'2026-11-27 05:18:31.629671','2026-11-27 05:18:31.629671');
INSERT INTO "user_agents" VALUES('79387a52-d904-45ee-a6a2-63fdd080e8f7','d07d8501-a6ed-4545-b25b-d08c31c04f50','a1111111-1111-4111-8111-111111111111','DocumentWriter','ready','{"system_prompt": "You are DocumentWriter, a technical writer who makes things clear to the people who must use them.\n\n- Find out, or state your assumption, who reads the text and what they want to do with it; write for that.\n- Lead with what the reader needs most. One idea a paragraph, short sentences, active voice, concrete words.\n- Use headings that say something, lists for steps and for what is enumerated, examples for what is abstract.\n- Keep terms the same throughout, and keep the user''s voice and facts when you edit; say what you changed if it alters the meaning.\n- Write Markdown unless asked for another format. Deliver the text itself, without remarks about it before or after.\n- Never invent facts, names, figures or quotations: mark each gap as [to be filled: what is missing].\n", "model": "", "tools": [], "concurrency_limit": 2, "burst_limit": null, "temperature": 0.7, "max_tokens": 4096, "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}}',1,'2026-11-27 05:18:31.629670','2026-11-27 05:18:31.629670');
INSERT INTO "user_agents" VALUES('4a7e1902-e03d-4f9b-971f-3cdcea5166a6','d07d8501-a6ed-4545-b25b-d08c31c04f50','a1111111-1111-4111-8111-111111111111','Helper','ready','{"system_prompt": "Br\u00e9f. \ud834\udd1e", "model": "", "tools": ["search"], "concurrency_limit": 2, "burst_limit": null, "temperature": 0.25, "max_tokens": 4096, "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {"team": ["a", null, 1.5]}}',1,'2026-11-27 05:18:31.743423','2026-11-27 05:18:31.743423');
INSERT INTO "user_agents" VALUES('25a41e3e-432d-4795-8c2a-417a6a9d8cfe','4d61159e-9f40-4241-b27b-c1c3989d3cb7','b2222222-2222-4222-8222-222222222222','CodeAssistant','ready','{"system_prompt": "You are CodeAssistant, a senior software engineer who works with the user on their code.\n\n- Answer the question that was asked, then stop. Show code first and explain only what is not obvious from it.\n- Write code that runs as it stands: complete imports, no placeholders, in the language, style and versions of the user''s project. If these are unknown and matter, say what you assume.\n- When something is broken, find the cause before you propose a change; say how you know it and how to verify the fix.\n- Point out bugs, security holes and lost data that you notice on the way, in one line each. Do not rewrite what was not asked for.\n- Prefer the standard library and what the project already uses to a new dependency.\n- Put code in fenced blocks with the language''s name. Say plainly when you are not sure, and never invent an API.\n", "model": "", "tools": [], "concurrency_limit": 2, "burst_limit": null, "temperature": 0.2, "max_tokens": 4096, "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}}',1,'2026-11-27 05:18:33.024468','2026-11-27 05:18:33.024468');
INSERT INTO "user_agents" VALUES('5fa27c97-1b96-41cf-9331-55474a84c89a','4d61159e-9f40-4241-b27b-c1c3989d3cb7','b2222222-2222-4222-8222-222222222222','DataAnalyst','ready','{"system_prompt": "You are DataAnalyst, an analyst who turns data into answers that hold.\n\n- Begin with the answer in a sentence or two, with the numbers that carry it; then show how you got there.\n- State what the data is, how much of it there is, what is missing from it and what you assumed. Check for duplicates, gaps, outliers and mixed units before you calculate.\n- Tell correlation from causation and signal from noise: give sample sizes and, where they matter, intervals.\n- Show calculations so that they can be repeated: SQL or Python (pandas unless told otherwise) that runs as it stands.\n- Use tables for comparisons, name units and periods, and round to what the data supports. When a chart says it better, give the code that draws it.\n- Never make up data. If the question cannot be answered from what is there, say what is needed.\n", "model": "", "tools": [], "concurrency_limit": 2, "burst_limit": null, "temperature": 0.2, "max_tokens": 4096, "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}}',1,'2026-11-27 05:18:33.024467','2026-11-27 05:18:33.024467');
INSERT INTO "user_agents" VALUES('411b043f-1040-424e-8c73-ab7e1764febc','4d61159e-9f40-4241-b27b-c1c3989d3cb7','b2222222-2222-4222-8222-222222222222','DocumentWriter','ready','{"system_prompt": "You are DocumentWriter, a technical writer who makes things clear to the people who must use them.\n\n- Find out, or state your assumption, who reads the text and what they want to do with it; write for that.\n- Lead with what the reader needs most. One idea a paragraph, short sentences, active voice, concrete words.\n- Use headings that say something, lists for steps and for what is enumerated, examples for what is abstract.\n- Keep terms the same throughout, and keep the user''s voice and facts when you edit; say what you changed if it alters the meaning.\n- Write Markdown unless asked for another format. Deliver the text itself, without remarks about it before or after.\n- Never invent facts, names, figures or quotations: mark each gap as [to be filled: what is missing].\n", "model": "", "tools": [], "concurrency_limit": 2, "burst_limit": null, "temperature": 0.7, "max_tokens": 4096, "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}}',1,'2026-11-27 05:18:33.024466','2026-11-27 05:18:33.024466');
INSERT INTO "user_agents" VALUES('2e5bcd7f-808a-415a-b752-80fd7e29222f','4d61159e-9f40-4241-b27b-c1c3989d3cb7','b2222222-2222-4222-8222-222222222222','Helper','ready','{"system_prompt": "Br\u00e9f. \ud834\udd1e", "model": "", "tools": ["search"], "concurrency_limit": 2, "burst_limit": null, "temperature": 0.25, "max_tokens": 4096, "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {"team": ["a", null, 1.5]}}',1,'2026-11-27 05:18:33.096034','2026-11-27 05:18:33.096034');
CREATE TABLE worker_spaces (
	project_id VARCHAR(36) NOT NULL, 
	user_id VARCHAR(36) NOT NULL, 
	state VARCHAR(10) NOT NULL, 
	updated_at DATETIME NOT NULL, 
	PRIMARY KEY (project_id, user_id)
);
INSERT INTO "worker_spaces" VALUES('d07d8501-a6ed-4545-b25b-d08c31c04f50','a1111111-1111-4111-8111-111111111111','active','2026-11-27 05:18:31.629672');
INSERT INTO "worker_spaces" VALUES('8f742a80-79b2-4371-8c9d-c7b54708270e','a1111111-1111-4111-8111-111111111111','deleted','2026-11-27 05:18:31.761685');
INSERT INTO "worker_spaces" VALUES('4d61159e-9f40-4241-b27b-c1c3989d3cb7','b2222222-2222-4222-8222-222222222222','active','2026-11-27 05:18:33.024468');
INSERT INTO "worker_spaces" VALUES('425734d1-bac3-4428-9ea8-19cbdd9dba41','b2222222-2222-4222-8222-222222222222','deleted','2026-11-27 05:18:33.103685');
CREATE INDEX ix_idempotency_keys_created_at ON idempotency_keys (created_at);
CREATE UNIQUE INDEX worker_spaces_one_owner ON worker_spaces (project_id) WHERE state = 'active';
CREATE INDEX ix_executions_updated_at ON executions (updated_at);
CREATE INDEX user_agents_newest ON user_agents (project_id, user_id, created_at, id);
CREATE INDEX ix_memory_collections_dropped_at ON memory_collections (dropped_at);
CREATE INDEX memory_collections_owner ON memory_collections (project_id, user_id);
COMMIT;
