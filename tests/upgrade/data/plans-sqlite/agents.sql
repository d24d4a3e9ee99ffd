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
INSERT INTO "executions" VALUES('8c62b3cd-d0c8-43a6-99c1-6f87ca130f06','a1111111-1111-4111-8111-111111111111','57a7f045-c602-43bd-8e34-2acf67997bcf','answer',1,1,'2026-11-27 11:32:11.415005');
INSERT INTO "executions" VALUES('8c62b3cd-d0c8-43a6-99c1-6f87ca130f06','a1111111-1111-4111-8111-111111111111','a731d203-d0bc-4a1c-a6ee-f8c21c99d22f','answer',1,1,'2026-11-27 11:32:11.844871');
INSERT INTO "executions" VALUES('8c62b3cd-d0c8-43a6-99c1-6f87ca130f06','a1111111-1111-4111-8111-111111111111','feae343a-eb69-4211-86b5-a267ddbd7570','answer',1,1,'2026-11-27 11:32:11.874334');
INSERT INTO "executions" VALUES('b7ab2cc0-51d8-426c-b0e9-9c275d39e98b','b2222222-2222-4222-8222-222222222222','4aefc505-6a6c-4dda-9c8d-1eaf8e50a643','answer',1,1,'2026-11-27 11:32:12.375483');
INSERT INTO "executions" VALUES('b7ab2cc0-51d8-426c-b0e9-9c275d39e98b','b2222222-2222-4222-8222-222222222222','fa363675-3f46-419b-826e-f5bf5686440e','answer',1,1,'2026-11-27 11:32:12.426904');
INSERT INTO "executions" VALUES('b7ab2cc0-51d8-426c-b0e9-9c275d39e98b','b2222222-2222-4222-8222-222222222222','a7982ad4-29ee-4f77-9752-1a049e06b991','answer',1,1,'2026-11-27 11:32:12.459623');
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
INSERT INTO "memory_collections" VALUES('f301a7d0-5759-4069-94f1-438ada37afb7','8c62b3cd-d0c8-43a6-99c1-6f87ca130f06','a1111111-1111-4111-8111-111111111111','minilm',384,NULL);
INSERT INTO "memory_collections" VALUES('191721f7-c28d-4833-bdb4-74432c9783d2','b7ab2cc0-51d8-426c-b0e9-9c275d39e98b','b2222222-2222-4222-8222-222222222222','minilm',384,NULL);
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
INSERT INTO "user_agents" VALUES('aa5e739d-5b5c-43d9-a453-ad0f3302236f','8c62b3cd-d0c8-43a6-99c1-6f87ca130f06','a1111111-1111-4111-8111-111111111111','CodeAssistant','ready','{"system_prompt": "You are CodeAssistant, a senior software engineer who works with the user on their code.\n\n- Answer the question that was asked, then stop. Show code first and explain only what is not obvious from it.\n- Write code that runs as it stands: complete imports, no placeholders, in the language, style and versions of the user''s project. If these are unknown and matter, say what you assume.\n- When something is broken, find the cause before you propose a change; say how you know it and how to verify the fix.\n- Point out bugs, security holes and lost data that you notice on the way, in one line each. Do not rewrite what was not asked for.\n- Prefer the standard library and what the project already uses to a new dependency.\n- Put code in fenced blocks with the language''s name. Say plainly when you are not sure, and never invent an API.\n", "model": "", "tools": [], "concurrency_limit": 2, "burst_limit": null, "temperature": 0.2, "max_tokens": 4096, "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}}',1,'2026-11-27 11:32:11.275469','2026-11-27 11:32:11.275469');
INSERT INTO "user_agents" VALUES('5da35db5-fbfb-407f-b26c-479908b13188','8c62b3cd-d0c8-43a6-99c1-6f87ca130f06','a1111111-1111-4111-8111-111111111111','DataAnalyst','ready','{"system_prompt": "You are DataAnalyst, an analyst who turns data into answers that hold.\n\n- Begin with the answer in a sentence or two, with the numbers that carry it; then show how you got there.\n- State what the data is, how much of it there is, what is missing from it and what you assumed. Check for duplicates, gaps, outliers and mixed units before you calculate.\n- Tell correlation from causation and signal from noise: give sample sizes and, where they matter, intervals.\n- Show calculations so that they can be repeated: SQL or Python (pandas unless told otherwise) that runs as it stands.\n- Use tables for comparisons, name units and periods, and round to what the data supports. When a chart says it better, give the code that draws it.\n- Never make up data. If the question cannot be answered from what is there, say what is needed.\n", "model": "", "tools": [], "concurrency_limit": 2, "burst_limit": null, "temperature": 0.2, "max_tokens": 4096, "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}}',1,'2026-11-27 11:32:11.275468','2026-11-27 11:32:11.275468');
INSERT INTO "user_agents" VALUES('35560f59-c773-4c8a-b058-7d4018f0bc67','8c62b3cd-d0c8-43a6-99c1-6f87ca130f06','a1111111-1111-4111-8111-111111111111','DocumentWriter','ready','{"system_prompt": "You are DocumentWriter, a technical writer who makes things clear to the people who must use them.\n\n- Find out, or state your assumption, who reads the text and what they want to do with it; write for that.\n- Lead with what the reader needs most. One idea a paragraph, short sentences, active voice, concrete words.\n- Use headings that say something, lists for steps and for what is enumerated, examples for what is abstract.\n- Keep terms the same throughout, and keep the user''s voice and facts when you edit; say what you changed if it alters the meaning.\n- Write Markdown unless asked for another format. Deliver the text itself, without remarks about it before or after.\n- Never invent facts, names, figures or quotations: mark each gap as [to be filled: what is missing].\n", "model": "", "tools": [], "concurrency_limit": 2, "burst_limit": null, "temperature": 0.7, "max_tokens": 4096, "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}}',1,'2026-11-27 11:32:11.275467','2026-11-27 11:32:11.275467');
INSERT INTO "user_agents" VALUES('f301a7d0-5759-4069-94f1-438ada37afb7','8c62b3cd-d0c8-43a6-99c1-6f87ca130f06','a1111111-1111-4111-8111-111111111111','Helper','ready','{"system_prompt": "Br\u00e9f. \ud834\udd1e", "model": "", "tools": ["search"], "concurrency_limit": 2, "burst_limit": null, "temperature": 0.25, "max_tokens": 4096, "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {"team": ["a", null, 1.5]}}',1,'2026-11-27 11:32:11.350962','2026-11-27 11:32:11.350962');
INSERT INTO "user_agents" VALUES('0c25913d-a65c-428e-9f2f-5a3f39cb1ef1','b7ab2cc0-51d8-426c-b0e9-9c275d39e98b','b2222222-2222-4222-8222-222222222222','CodeAssistant','ready','{"system_prompt": "You are CodeAssistant, a senior software engineer who works with the user on their code.\n\n- Answer the question that was asked, then stop. Show code first and explain only what is not obvious from it.\n- Write code that runs as it stands: complete imports, no placeholders, in the language, style and versions of the user''s project. If these are unknown and matter, say what you assume.\n- When something is broken, find the cause before you propose a change; say how you know it and how to verify the fix.\n- Point out bugs, security holes and lost data that you notice on the way, in one line each. Do not rewrite what was not asked for.\n- Prefer the standard library and what the project already uses to a new dependency.\n- Put code in fenced blocks with the language''s name. Say plainly when you are not sure, and never invent an API.\n", "model": "", "tools": [], "concurrency_limit": 2, "burst_limit": null, "temperature": 0.2, "max_tokens": 4096, "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}}',1,'2026-11-27 11:32:12.338490','2026-11-27 11:32:12.338490');
INSERT INTO "user_agents" VALUES('1c4cbc1e-92fb-4630-b0a5-f0b6ebf526b3','b7ab2cc0-51d8-426c-b0e9-9c275d39e98b','b2222222-2222-4222-8222-222222222222','DataAnalyst','ready','{"system_prompt": "You are DataAnalyst, an analyst who turns data into answers that hold.\n\n- Begin with the answer in a sentence or two, with the numbers that carry it; then show how you got there.\n- State what the data is, how much of it there is, what is missing from it and what you assumed. Check for duplicates, gaps, outliers and mixed units before you calculate.\n- Tell correlation from causation and signal from noise: give sample sizes and, where they matter, intervals.\n- Show calculations so that they can be repeated: SQL or Python (pandas unless told otherwise) that runs as it stands.\n- Use tables for comparisons, name units and periods, and round to what the data supports. When a chart says it better, give the code that draws it.\n- Never make up data. If the question cannot be answered from what is there, say what is needed.\n", "model": "", "tools": [], "concurrency_limit": 2, "burst_limit": null, "temperature": 0.2, "max_tokens": 4096, "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}}',1,'2026-11-27 11:32:12.338489','2026-11-27 11:32:12.338489');
INSERT INTO "user_agents" VALUES('ae580ebb-c164-40ea-8ebc-31d5281b3701','b7ab2cc0-51d8-426c-b0e9-9c275d39e98b','b2222222-2222-4222-8222-222222222222','DocumentWriter','ready','{"system_prompt": "You are DocumentWriter, a technical writer who makes things clear to the people who must use them.\n\n- Find out, or state your assumption, who reads the text and what they want to do with it; write for that.\n- Lead with what the reader needs most. One idea a paragraph, short sentences, active voice, concrete words.\n- Use headings that say something, lists for steps and for what is enumerated, examples for what is abstract.\n- Keep terms the same throughout, and keep the user''s voice and facts when you edit; say what you changed if it alters the meaning.\n- Write Markdown unless asked for another format. Deliver the text itself, without remarks about it before or after.\n- Never invent facts, names, figures or quotations: mark each gap as [to be filled: what is missing].\n", "model": "", "tools": [], "concurrency_limit": 2, "burst_limit": null, "temperature": 0.7, "max_tokens": 4096, "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}}',1,'2026-11-27 11:32:12.338488','2026-11-27 11:32:12.338488');
INSERT INTO "user_agents" VALUES('191721f7-c28d-4833-bdb4-74432c9783d2','b7ab2cc0-51d8-426c-b0e9-9c275d39e98b','b2222222-2222-4222-8222-222222222222','Helper','ready','{"system_prompt": "Br\u00e9f. \ud834\udd1e", "model": "", "tools": ["search"], "concurrency_limit": 2, "burst_limit": null, "temperature": 0.25, "max_tokens": 4096, "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {"team": ["a", null, 1.5]}}',1,'2026-11-27 11:32:12.358447','2026-11-27 11:32:12.358447');
CREATE TABLE worker_spaces (
	project_id VARCHAR(36) NOT NULL, 
	user_id VARCHAR(36) NOT NULL, 
	state VARCHAR(10) NOT NULL, 
	updated_at DATETIME NOT NULL, 
	PRIMARY KEY (project_id, user_id)
);
INSERT INTO "worker_spaces" VALUES('8c62b3cd-d0c8-43a6-99c1-6f87ca130f06','a1111111-1111-4111-8111-111111111111','active','2026-11-27 11:32:11.275469');
INSERT INTO "worker_spaces" VALUES('6da77031-5e5c-4154-bdf7-4d8aef60b031','a1111111-1111-4111-8111-111111111111','deleted','2026-11-27 11:32:11.354763');
INSERT INTO "worker_spaces" VALUES('b7ab2cc0-51d8-426c-b0e9-9c275d39e98b','b2222222-2222-4222-8222-222222222222','active','2026-11-27 11:32:12.338490');
INSERT INTO "worker_spaces" VALUES('fda3b6a9-e2a3-46ef-8ebb-d958daaf40c5','b2222222-2222-4222-8222-222222222222','deleted','2026-11-27 11:32:12.359713');
CREATE INDEX ix_idempotency_keys_created_at ON idempotency_keys (created_at);
CREATE UNIQUE INDEX worker_spaces_one_owner ON worker_spaces (project_id) WHERE state = 'active';
CREATE INDEX ix_executions_updated_at ON executions (updated_at);
CREATE INDEX user_agents_newest ON user_agents (project_id, user_id, created_at, id);
CREATE INDEX ix_memory_collections_dropped_at ON memory_collections (dropped_at);
CREATE INDEX memory_collections_owner ON memory_collections (project_id, user_id);
COMMIT;
