BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0002');
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
INSERT INTO "executions" VALUES('e03291f1-5c6c-4900-9a61-f086da3e872c','a1111111-1111-4111-8111-111111111111','6ab6e93c-3d8a-416d-976a-d12fe475d97d','answer',1,1,'2026-11-27 02:20:23.227681');
INSERT INTO "executions" VALUES('e03291f1-5c6c-4900-9a61-f086da3e872c','a1111111-1111-4111-8111-111111111111','1a6bcd8f-ded9-4771-8b08-4a285831095d','answer',1,1,'2026-11-27 02:20:23.597201');
INSERT INTO "executions" VALUES('e03291f1-5c6c-4900-9a61-f086da3e872c','a1111111-1111-4111-8111-111111111111','0420a623-9f7e-4c8a-99d6-eb7ac933bb26','answer',1,1,'2026-11-27 02:20:23.630154');
INSERT INTO "executions" VALUES('a6d6ecc8-2ba2-4f64-9c1b-c9a81bde02d3','b2222222-2222-4222-8222-222222222222','cf980d5b-1469-4162-8f8e-2ffdd38ebbd9','answer',1,1,'2026-11-27 02:20:24.158028');
INSERT INTO "executions" VALUES('a6d6ecc8-2ba2-4f64-9c1b-c9a81bde02d3','b2222222-2222-4222-8222-222222222222','f187121e-56e8-4eae-8802-db45e60c0f94','answer',1,1,'2026-11-27 02:20:24.223678');
INSERT INTO "executions" VALUES('a6d6ecc8-2ba2-4f64-9c1b-c9a81bde02d3','b2222222-2222-4222-8222-222222222222','b845921e-c116-4228-92f8-cca1cad9cb20','answer',1,1,'2026-11-27 02:20:24.252947');
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
INSERT INTO "memory_collections" VALUES('1bf43c32-a3da-425b-a5d6-3bdf1f5971f4','e03291f1-5c6c-4900-9a61-f086da3e872c','a1111111-1111-4111-8111-111111111111','minilm',384,NULL);
INSERT INTO "memory_collections" VALUES('ddaed5e7-65fe-4b43-b075-f6163f1f33bf','a6d6ecc8-2ba2-4f64-9c1b-c9a81bde02d3','b2222222-2222-4222-8222-222222222222','minilm',384,NULL);
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
INSERT INTO "user_agents" VALUES('0de8140d-20ce-4f3d-8228-923536b92751','e03291f1-5c6c-4900-9a61-f086da3e872c','a1111111-1111-4111-8111-111111111111','CodeAssistant','ready','{"system_prompt": "You are CodeAssistant, a senior software engineer who works with the user on their code.\n\n- Answer the question that was asked, then stop. Show code first and explain only what is not obvious from it.\n- Write code that runs as it stands: complete imports, no placeholders, in the language, style and versions of the user''s project. If these are unknown and matter, say what you assume.\n- When something is broken, find the cause before you propose a change; say how you know it and how to verify the fix.\n- Point out bugs, security holes and lost data that you notice on the way, in one line each. Do not rewrite what was not asked for.\n- Prefer the standard library and what the project already uses to a new dependency.\n- Put code in fenced blocks with the language''s name. Say plainly when you are not sure, and never invent an API.\n", "model": "", "tools": [], "concurrency_limit": 2, "burst_limit": null, "temperature": 0.2, "max_tokens": 4096, "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}}',1,'2026-11-27 02:20:23.071453','2026-11-27 02:20:23.071453');
INSERT INTO "user_agents" VALUES('c6256f2f-1c0e-4e71-ba80-bd3c5bb56278','e03291f1-5c6c-4900-9a61-f086da3e872c','a1111111-1111-4111-8111-111111111111','DataAnalyst','ready','{"system_prompt": "You are DataAnalyst, an analyst who turns data into answers that hold.\n\n- Begin with the answer in a sentence or two, with the numbers that carry it; then show how you got there.\n- State what the data is, how much of it there is, what is missing from it and what you assumed. Check for duplicates, gaps, outliers and mixed units before you calculate.\n- Tell correlation from causation and signal from noise: give sample sizes and, where they matter, intervals.\n- Show calculations so that they can be repeated: SQL or Python (pandas unless told otherwise) that runs as it stands.\n- Use tables for comparisons, name units and periods, and round to what the data supports. When a chart says it better, give the code that draws it.\n- Never make up data. If the question cannot be answered from what is there, say what is needed.\n", "model": "", "tools": [], "concurrency_limit": 2, "burst_limit": null, "temperature": 0.2, "max_tokens": 4096, "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}}',1,'2026-11-27 02:20:23.071452','2026-11-27 02:20:23.071452');
INSERT INTO "user_agents" VALUES('5c6f5e9b-5788-490f-ab8c-de8e8eef7fd0','e03291f1-5c6c-4900-9a61-f086da3e872c','a1111111-1111-4111-8111-111111111111','DocumentWriter','ready','{"system_prompt": "You are DocumentWriter, a technical writer who makes things clear to the people who must use them.\n\n- Find out, or state your assumption, who reads the text and what they want to do with it; write for that.\n- Lead with what the reader needs most. One idea a paragraph, short sentences, active voice, concrete words.\n- Use headings that say something, lists for steps and for what is enumerated, examples for what is abstract.\n- Keep terms the same throughout, and keep the user''s voice and facts when you edit; say what you changed if it alters the meaning.\n- Write Markdown unless asked for another format. Deliver the text itself, without remarks about it before or after.\n- Never invent facts, names, figures or quotations: mark each gap as [to be filled: what is missing].\n", "model": "", "tools": [], "concurrency_limit": 2, "burst_limit": null, "temperature": 0.7, "max_tokens": 4096, "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}}',1,'2026-11-27 02:20:23.071451','2026-11-27 02:20:23.071451');
INSERT INTO "user_agents" VALUES('1bf43c32-a3da-425b-a5d6-3bdf1f5971f4','e03291f1-5c6c-4900-9a61-f086da3e872c','a1111111-1111-4111-8111-111111111111','Helper','ready','{"system_prompt": "Br\u00e9f. \ud834\udd1e", "model": "", "tools": ["search"], "concurrency_limit": 2, "burst_limit": null, "temperature": 0.25, "max_tokens": 4096, "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {"team": ["a", null, 1.5]}}',1,'2026-11-27 02:20:23.156316','2026-11-27 02:20:23.156316');
INSERT INTO "user_agents" VALUES('8adde249-f8d1-47eb-b80e-752ee16e7ffd','a6d6ecc8-2ba2-4f64-9c1b-c9a81bde02d3','b2222222-2222-4222-8222-222222222222','CodeAssistant','ready','{"system_prompt": "You are CodeAssistant, a senior software engineer who works with the user on their code.\n\n- Answer the question that was asked, then stop. Show code first and explain only what is not obvious from it.\n- Write code that runs as it stands: complete imports, no placeholders, in the language, style and versions of the user''s project. If these are unknown and matter, say what you assume.\n- When something is broken, find the cause before you propose a change; say how you know it and how to verify the fix.\n- Point out bugs, security holes and lost data that you notice on the way, in one line each. Do not rewrite what was not asked for.\n- Prefer the standard library and what the project already uses to a new dependency.\n- Put code in fenced blocks with the language''s name. Say plainly when you are not sure, and never invent an API.\n", "model": "", "tools": [], "concurrency_limit": 2, "burst_limit": null, "temperature": 0.2, "max_tokens": 4096, "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}}',1,'2026-11-27 02:20:24.128986','2026-11-27 02:20:24.128986');
INSERT INTO "user_agents" VALUES('ac88df9c-29c3-4f6e-beca-cea035364e89','a6d6ecc8-2ba2-4f64-9c1b-c9a81bde02d3','b2222222-2222-4222-8222-222222222222','DataAnalyst','ready','{"system_prompt": "You are DataAnalyst, an analyst who turns data into answers that hold.\n\n- Begin with the answer in a sentence or two, with the numbers that carry it; then show how you got there.\n- State what the data is, how much of it there is, what is missing from it and what you assumed. Check for duplicates, gaps, outliers and mixed units before you calculate.\n- Tell correlation from causation and signal from noise: give sample sizes and, where they matter, intervals.\n- Show calculations so that they can be repeated: SQL or Python (pandas unless told otherwise) that runs as it stands.\n- Use tables for comparisons, name units and periods, and round to what the data supports. When a chart says it better, give the code that draws it.\n- Never make up data. If the question cannot be answered from what is there, say what is needed.\n", "model": "", "tools": [], "concurrency_limit": 2, "burst_limit": null, "temperature": 0.2, "max_tokens": 4096, "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}}',1,'2026-11-27 02:20:24.128985','2026-11-27 02:20:24.128985');
INSERT INTO "user_agents" VALUES('04952a98-37f2-4848-bc88-f57b74f19aed','a6d6ecc8-2ba2-4f64-9c1b-c9a81bde02d3','b2222222-2222-4222-8222-222222222222','DocumentWriter','ready','{"system_prompt": "You are DocumentWriter, a technical writer who makes things clear to the people who must use them.\n\n- Find out, or state your assumption, who reads the text and what they want to do with it; write for that.\n- Lead with what the reader needs most. One idea a paragraph, short sentences, active voice, concrete words.\n- Use headings that say something, lists for steps and for what is enumerated, examples for what is abstract.\n- Keep terms the same throughout, and keep the user''s voice and facts when you edit; say what you changed if it alters the meaning.\n- Write Markdown unless asked for another format. Deliver the text itself, without remarks about it before or after.\n- Never invent facts, names, figures or quotations: mark each gap as [to be filled: what is missing].\n", "model": "", "tools": [], "concurrency_limit": 2, "burst_limit": null, "temperature": 0.7, "max_tokens": 4096, "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}}',1,'2026-11-27 02:20:24.128984','2026-11-27 02:20:24.128984');
INSERT INTO "user_agents" VALUES('ddaed5e7-65fe-4b43-b075-f6163f1f33bf','a6d6ecc8-2ba2-4f64-9c1b-c9a81bde02d3','b2222222-2222-4222-8222-222222222222','Helper','ready','{"system_prompt": "Br\u00e9f. \ud834\udd1e", "model": "", "tools": ["search"], "concurrency_limit": 2, "burst_limit": null, "temperature": 0.25, "max_tokens": 4096, "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {"team": ["a", null, 1.5]}}',1,'2026-11-27 02:20:24.146337','2026-11-27 02:20:24.146337');
CREATE TABLE worker_spaces (
	project_id VARCHAR(36) NOT NULL, 
	user_id VARCHAR(36) NOT NULL, 
	state VARCHAR(10) NOT NULL, 
	updated_at DATETIME NOT NULL, 
	PRIMARY KEY (project_id, user_id)
);
INSERT INTO "worker_spaces" VALUES('e03291f1-5c6c-4900-9a61-f086da3e872c','a1111111-1111-4111-8111-111111111111','active','2026-11-27 02:20:23.071453');
INSERT INTO "worker_spaces" VALUES('fb1a17dc-883f-437f-909a-179eaddaeb77','a1111111-1111-4111-8111-111111111111','deleted','2026-11-27 02:20:23.162245');
INSERT INTO "worker_spaces" VALUES('a6d6ecc8-2ba2-4f64-9c1b-c9a81bde02d3','b2222222-2222-4222-8222-222222222222','active','2026-11-27 02:20:24.128986');
INSERT INTO "worker_spaces" VALUES('2b6a62d5-a83e-4730-8839-220fa5c72805','b2222222-2222-4222-8222-222222222222','deleted','2026-11-27 02:20:24.147633');
CREATE INDEX ix_idempotency_keys_created_at ON idempotency_keys (created_at);
CREATE UNIQUE INDEX worker_spaces_one_owner ON worker_spaces (project_id) WHERE state = 'active';
CREATE INDEX ix_executions_updated_at ON executions (updated_at);
CREATE INDEX user_agents_newest ON user_agents (project_id, user_id, created_at, id);
CREATE INDEX ix_memory_collections_dropped_at ON memory_collections (dropped_at);
CREATE INDEX memory_collections_owner ON memory_collections (project_id, user_id);
COMMIT;
