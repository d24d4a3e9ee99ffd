SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
CREATE SCHEMA agents;
CREATE SCHEMA orchestrator;
CREATE SCHEMA projects;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE agents.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE agents.effects (
    project_id character varying(36) NOT NULL,
    user_id character varying(36) NOT NULL,
    run_id character varying(36) NOT NULL,
    task_id character varying(64) NOT NULL,
    call_id character varying(100) NOT NULL,
    tool character varying(100) NOT NULL,
    arguments text NOT NULL,
    run_epoch integer NOT NULL,
    attempt integer NOT NULL,
    started_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone,
    success boolean,
    output text
);
CREATE TABLE agents.executions (
    project_id character varying(36) NOT NULL,
    user_id character varying(36) NOT NULL,
    run_id character varying(36) NOT NULL,
    task_id character varying(64) NOT NULL,
    run_epoch integer NOT NULL,
    attempt integer NOT NULL,
    updated_at timestamp with time zone NOT NULL
);
CREATE TABLE agents.idempotency_keys (
    user_id character varying(36) NOT NULL,
    scope character varying(40) NOT NULL,
    request_id character varying(128) NOT NULL,
    fingerprint character varying(64) NOT NULL,
    resource_id character varying(36) NOT NULL,
    created_at timestamp with time zone NOT NULL
);
CREATE TABLE agents.memory_collections (
    agent_id character varying(36) NOT NULL,
    project_id character varying(36) NOT NULL,
    user_id character varying(36) NOT NULL,
    embedding_model character varying(200) NOT NULL,
    dimension integer NOT NULL,
    dropped_at timestamp with time zone
);
CREATE TABLE agents.user_agents (
    id character varying(36) NOT NULL,
    project_id character varying(36) NOT NULL,
    user_id character varying(36) NOT NULL,
    name character varying(100) NOT NULL,
    status character varying(10) NOT NULL,
    config jsonb NOT NULL,
    revision integer NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL
);
CREATE TABLE agents.worker_spaces (
    project_id character varying(36) NOT NULL,
    user_id character varying(36) NOT NULL,
    state character varying(10) NOT NULL,
    updated_at timestamp with time zone NOT NULL
);
CREATE TABLE orchestrator.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE orchestrator.approvals (
    id character varying(36) NOT NULL,
    run_id character varying(36) NOT NULL,
    task_id character varying(100),
    user_id character varying(36) NOT NULL,
    n integer NOT NULL,
    kind character varying(20) NOT NULL,
    state character varying(20) NOT NULL,
    payload jsonb NOT NULL,
    reason text,
    expires_at timestamp with time zone NOT NULL,
    decided_at timestamp with time zone,
    created_at timestamp with time zone NOT NULL
);
CREATE TABLE orchestrator.chat_sessions (
    id character varying(36) NOT NULL,
    project_id character varying(36) NOT NULL,
    user_id character varying(36) NOT NULL,
    title character varying(200),
    message_count integer NOT NULL,
    run_count integer NOT NULL,
    last_event_id character varying(100),
    deleted boolean NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL
);
CREATE TABLE orchestrator.idempotency_keys (
    user_id character varying(36) NOT NULL,
    scope character varying(40) NOT NULL,
    request_id character varying(128) NOT NULL,
    fingerprint character varying(64) NOT NULL,
    resource_id character varying(36) NOT NULL,
    created_at timestamp with time zone NOT NULL
);
CREATE TABLE orchestrator.messages (
    id character varying(36) NOT NULL,
    session_id character varying(36) NOT NULL,
    user_id character varying(36) NOT NULL,
    run_id character varying(36),
    agent_id character varying(36),
    role character varying(20) NOT NULL,
    content text NOT NULL,
    "position" integer NOT NULL,
    "timestamp" timestamp with time zone NOT NULL,
    metadata jsonb NOT NULL
);
CREATE TABLE orchestrator.projects (
    user_id character varying(36) NOT NULL,
    project_id character varying(36) NOT NULL,
    deleted boolean NOT NULL
);
CREATE TABLE orchestrator.run_events (
    run_id character varying(36) NOT NULL,
    n integer NOT NULL,
    epoch integer NOT NULL,
    type character varying(50) NOT NULL,
    payload jsonb NOT NULL,
    final boolean NOT NULL,
    published character varying(100),
    created_at timestamp with time zone NOT NULL,
    user_id character varying(36) NOT NULL
);
CREATE TABLE orchestrator.run_tasks (
    run_id character varying(36) NOT NULL,
    id character varying(100) NOT NULL,
    ordinal integer NOT NULL,
    agent_id character varying(36) NOT NULL,
    agent_name character varying(100) NOT NULL,
    title character varying(200) NOT NULL,
    instruction text NOT NULL,
    depends_on jsonb NOT NULL,
    state character varying(20) NOT NULL,
    attempt integer NOT NULL,
    generation integer NOT NULL,
    output text,
    error_reason character varying(100),
    error_detail text,
    prompt_tokens integer NOT NULL,
    completion_tokens integer NOT NULL,
    model_calls integer NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    user_id character varying(36) NOT NULL
);
CREATE TABLE orchestrator.runs (
    id character varying(36) NOT NULL,
    session_id character varying(36) NOT NULL,
    project_id character varying(36) NOT NULL,
    user_id character varying(36) NOT NULL,
    mode character varying(20) NOT NULL,
    state character varying(20) NOT NULL,
    "position" integer NOT NULL,
    answer_id character varying(36) NOT NULL,
    answered boolean NOT NULL,
    retry_of character varying(36),
    error_reason character varying(100),
    error_detail text,
    stop_reason character varying(100),
    prompt_tokens integer NOT NULL,
    completion_tokens integer NOT NULL,
    model_calls integer NOT NULL,
    owner character varying(36),
    epoch integer NOT NULL,
    lease_until double precision NOT NULL,
    attempts integer NOT NULL,
    event_count integer NOT NULL,
    last_event_id character varying(100),
    created_at timestamp with time zone NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    asked_at integer NOT NULL
);
CREATE TABLE projects.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE projects.idempotency_keys (
    user_id character varying(36) NOT NULL,
    scope character varying(40) NOT NULL,
    request_id character varying(128) NOT NULL,
    fingerprint character varying(64) NOT NULL,
    resource_id character varying(36) NOT NULL,
    created_at timestamp with time zone NOT NULL
);
CREATE TABLE projects.user_projects (
    id character varying(36) NOT NULL,
    user_id character varying(36) NOT NULL,
    name character varying(200) NOT NULL,
    workspace_path character varying(1000),
    state character varying(12) NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    due_at timestamp with time zone,
    removal_attempts integer NOT NULL
);
CREATE TABLE projects.users (
    id character varying(36) NOT NULL,
    email character varying(320),
    created_at timestamp with time zone NOT NULL
);
INSERT INTO agents.alembic_version VALUES ('0003');
INSERT INTO agents.executions VALUES ('ed927d58-3f91-4731-a106-3df14d0492dc', 'a1111111-1111-4111-8111-111111111111', '3c58a175-028d-436a-81e1-413ab2c0ad5a', 'answer', 1, 1, '2026-11-27 05:18:41.9397+00');
INSERT INTO agents.executions VALUES ('ed927d58-3f91-4731-a106-3df14d0492dc', 'a1111111-1111-4111-8111-111111111111', '6cf56dfa-316c-473c-91f1-1c87508b0bc9', 'answer', 1, 1, '2026-11-27 05:18:42.710313+00');
INSERT INTO agents.executions VALUES ('ed927d58-3f91-4731-a106-3df14d0492dc', 'a1111111-1111-4111-8111-111111111111', 'babc2163-fe6c-43d9-9d3b-312c19c777d2', 'answer', 1, 1, '2026-11-27 05:18:42.924241+00');
INSERT INTO agents.executions VALUES ('5e1cd9df-cfe6-4e05-a84f-09bfaabcd3f2', 'b2222222-2222-4222-8222-222222222222', '0de8f72e-9426-4f7d-9227-a8333493328c', 'answer', 1, 1, '2026-11-27 05:18:44.667323+00');
INSERT INTO agents.executions VALUES ('5e1cd9df-cfe6-4e05-a84f-09bfaabcd3f2', 'b2222222-2222-4222-8222-222222222222', '89b3ad74-643e-4cab-a450-0a8669519493', 'answer', 1, 1, '2026-11-27 05:18:44.88143+00');
INSERT INTO agents.executions VALUES ('5e1cd9df-cfe6-4e05-a84f-09bfaabcd3f2', 'b2222222-2222-4222-8222-222222222222', '896acf56-da02-46a7-9b7f-5123b03123ae', 'answer', 1, 1, '2026-11-27 05:18:45.009323+00');
INSERT INTO agents.memory_collections VALUES ('f0ea5fed-e4b1-4f9d-b925-c84847291c42', 'ed927d58-3f91-4731-a106-3df14d0492dc', 'a1111111-1111-4111-8111-111111111111', 'minilm', 384, NULL);
INSERT INTO agents.memory_collections VALUES ('80f3c2d1-b582-4cbd-8cfa-6f7ef71344e8', '5e1cd9df-cfe6-4e05-a84f-09bfaabcd3f2', 'b2222222-2222-4222-8222-222222222222', 'minilm', 384, NULL);
INSERT INTO agents.user_agents VALUES ('0af654a2-8b5e-4170-aeff-40bd4e15a73d', 'ed927d58-3f91-4731-a106-3df14d0492dc', 'a1111111-1111-4111-8111-111111111111', 'CodeAssistant', 'ready', '{"model": "", "tools": [], "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}, "max_tokens": 4096, "burst_limit": null, "temperature": 0.2, "system_prompt": "You are CodeAssistant, a senior software engineer who works with the user on their code.\n\n- Answer the question that was asked, then stop. Show code first and explain only what is not obvious from it.\n- Write code that runs as it stands: complete imports, no placeholders, in the language, style and versions of the user''s project. If these are unknown and matter, say what you assume.\n- When something is broken, find the cause before you propose a change; say how you know it and how to verify the fix.\n- Point out bugs, security holes and lost data that you notice on the way, in one line each. Do not rewrite what was not asked for.\n- Prefer the standard library and what the project already uses to a new dependency.\n- Put code in fenced blocks with the language''s name. Say plainly when you are not sure, and never invent an API.\n", "concurrency_limit": 2}', 1, '2026-11-27 05:18:41.715989+00', '2026-11-27 05:18:41.715989+00');
INSERT INTO agents.user_agents VALUES ('5cd0fa00-1c56-4929-a122-bf1bac891c9d', 'ed927d58-3f91-4731-a106-3df14d0492dc', 'a1111111-1111-4111-8111-111111111111', 'DataAnalyst', 'ready', '{"model": "", "tools": [], "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}, "max_tokens": 4096, "burst_limit": null, "temperature": 0.2, "system_prompt": "You are DataAnalyst, an analyst who turns data into answers that hold.\n\n- Begin with the answer in a sentence or two, with the numbers that carry it; then show how you got there.\n- State what the data is, how much of it there is, what is missing from it and what you assumed. Check for duplicates, gaps, outliers and mixed units before you calculate.\n- Tell correlation from causation and signal from noise: give sample sizes and, where they matter, intervals.\n- Show calculations so that they can be repeated: SQL or Python (pandas unless told otherwise) that runs as it stands.\n- Use tables for comparisons, name units and periods, and round to what the data supports. When a chart says it better, give the code that draws it.\n- Never make up data. If the question cannot be answered from what is there, say what is needed.\n", "concurrency_limit": 2}', 1, '2026-11-27 05:18:41.715988+00', '2026-11-27 05:18:41.715988+00');
INSERT INTO agents.user_agents VALUES ('caa39c6f-243d-4418-8d61-09c0f8d9bde3', 'ed927d58-3f91-4731-a106-3df14d0492dc', 'a1111111-1111-4111-8111-111111111111', 'DocumentWriter', 'ready', '{"model": "", "tools": [], "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}, "max_tokens": 4096, "burst_limit": null, "temperature": 0.7, "system_prompt": "You are DocumentWriter, a technical writer who makes things clear to the people who must use them.\n\n- Find out, or state your assumption, who reads the text and what they want to do with it; write for that.\n- Lead with what the reader needs most. One idea a paragraph, short sentences, active voice, concrete words.\n- Use headings that say something, lists for steps and for what is enumerated, examples for what is abstract.\n- Keep terms the same throughout, and keep the user''s voice and facts when you edit; say what you changed if it alters the meaning.\n- Write Markdown unless asked for another format. Deliver the text itself, without remarks about it before or after.\n- Never invent facts, names, figures or quotations: mark each gap as [to be filled: what is missing].\n", "concurrency_limit": 2}', 1, '2026-11-27 05:18:41.715987+00', '2026-11-27 05:18:41.715987+00');
INSERT INTO agents.user_agents VALUES ('f0ea5fed-e4b1-4f9d-b925-c84847291c42', 'ed927d58-3f91-4731-a106-3df14d0492dc', 'a1111111-1111-4111-8111-111111111111', 'Helper', 'ready', '{"model": "", "tools": ["search"], "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {"team": ["a", null, 1.5]}, "max_tokens": 4096, "burst_limit": null, "temperature": 0.25, "system_prompt": "Bréf. 𝄞", "concurrency_limit": 2}', 1, '2026-11-27 05:18:41.822725+00', '2026-11-27 05:18:41.822725+00');
INSERT INTO agents.user_agents VALUES ('a403622a-08a7-4979-bf23-e24cf5d30597', '5e1cd9df-cfe6-4e05-a84f-09bfaabcd3f2', 'b2222222-2222-4222-8222-222222222222', 'CodeAssistant', 'ready', '{"model": "", "tools": [], "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}, "max_tokens": 4096, "burst_limit": null, "temperature": 0.2, "system_prompt": "You are CodeAssistant, a senior software engineer who works with the user on their code.\n\n- Answer the question that was asked, then stop. Show code first and explain only what is not obvious from it.\n- Write code that runs as it stands: complete imports, no placeholders, in the language, style and versions of the user''s project. If these are unknown and matter, say what you assume.\n- When something is broken, find the cause before you propose a change; say how you know it and how to verify the fix.\n- Point out bugs, security holes and lost data that you notice on the way, in one line each. Do not rewrite what was not asked for.\n- Prefer the standard library and what the project already uses to a new dependency.\n- Put code in fenced blocks with the language''s name. Say plainly when you are not sure, and never invent an API.\n", "concurrency_limit": 2}', 1, '2026-11-27 05:18:44.481962+00', '2026-11-27 05:18:44.481962+00');
INSERT INTO agents.user_agents VALUES ('aaeeb9a9-091a-486e-b8c3-a25c03fad92c', '5e1cd9df-cfe6-4e05-a84f-09bfaabcd3f2', 'b2222222-2222-4222-8222-222222222222', 'DataAnalyst', 'ready', '{"model": "", "tools": [], "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}, "max_tokens": 4096, "burst_limit": null, "temperature": 0.2, "system_prompt": "You are DataAnalyst, an analyst who turns data into answers that hold.\n\n- Begin with the answer in a sentence or two, with the numbers that carry it; then show how you got there.\n- State what the data is, how much of it there is, what is missing from it and what you assumed. Check for duplicates, gaps, outliers and mixed units before you calculate.\n- Tell correlation from causation and signal from noise: give sample sizes and, where they matter, intervals.\n- Show calculations so that they can be repeated: SQL or Python (pandas unless told otherwise) that runs as it stands.\n- Use tables for comparisons, name units and periods, and round to what the data supports. When a chart says it better, give the code that draws it.\n- Never make up data. If the question cannot be answered from what is there, say what is needed.\n", "concurrency_limit": 2}', 1, '2026-11-27 05:18:44.481961+00', '2026-11-27 05:18:44.481961+00');
INSERT INTO agents.user_agents VALUES ('0915f26c-5bf2-4578-9dd1-2bc31c23b64d', '5e1cd9df-cfe6-4e05-a84f-09bfaabcd3f2', 'b2222222-2222-4222-8222-222222222222', 'DocumentWriter', 'ready', '{"model": "", "tools": [], "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}, "max_tokens": 4096, "burst_limit": null, "temperature": 0.7, "system_prompt": "You are DocumentWriter, a technical writer who makes things clear to the people who must use them.\n\n- Find out, or state your assumption, who reads the text and what they want to do with it; write for that.\n- Lead with what the reader needs most. One idea a paragraph, short sentences, active voice, concrete words.\n- Use headings that say something, lists for steps and for what is enumerated, examples for what is abstract.\n- Keep terms the same throughout, and keep the user''s voice and facts when you edit; say what you changed if it alters the meaning.\n- Write Markdown unless asked for another format. Deliver the text itself, without remarks about it before or after.\n- Never invent facts, names, figures or quotations: mark each gap as [to be filled: what is missing].\n", "concurrency_limit": 2}', 1, '2026-11-27 05:18:44.48196+00', '2026-11-27 05:18:44.48196+00');
INSERT INTO agents.user_agents VALUES ('80f3c2d1-b582-4cbd-8cfa-6f7ef71344e8', '5e1cd9df-cfe6-4e05-a84f-09bfaabcd3f2', 'b2222222-2222-4222-8222-222222222222', 'Helper', 'ready', '{"model": "", "tools": ["search"], "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {"team": ["a", null, 1.5]}, "max_tokens": 4096, "burst_limit": null, "temperature": 0.25, "system_prompt": "Bréf. 𝄞", "concurrency_limit": 2}', 1, '2026-11-27 05:18:44.552861+00', '2026-11-27 05:18:44.552861+00');
INSERT INTO agents.worker_spaces VALUES ('7b3920c1-148e-48ea-89af-42817020f0f6', 'a1111111-1111-4111-8111-111111111111', 'deleted', '2026-11-27 05:18:41.830447+00');
INSERT INTO agents.worker_spaces VALUES ('ed927d58-3f91-4731-a106-3df14d0492dc', 'a1111111-1111-4111-8111-111111111111', 'active', '2026-11-27 05:18:41.715989+00');
INSERT INTO agents.worker_spaces VALUES ('0a47e698-68bf-4e9c-877b-33ee735f050f', 'b2222222-2222-4222-8222-222222222222', 'deleted', '2026-11-27 05:18:44.617002+00');
INSERT INTO agents.worker_spaces VALUES ('5e1cd9df-cfe6-4e05-a84f-09bfaabcd3f2', 'b2222222-2222-4222-8222-222222222222', 'active', '2026-11-27 05:18:44.481962+00');
INSERT INTO orchestrator.alembic_version VALUES ('0003');
INSERT INTO orchestrator.chat_sessions VALUES ('b5400a6c-bb10-4040-a19a-cf77816314cd', 'ed927d58-3f91-4731-a106-3df14d0492dc', 'a1111111-1111-4111-8111-111111111111', NULL, 0, 0, NULL, false, '2026-11-27 05:18:43.109922+00', '2026-11-27 05:18:43.109922+00');
INSERT INTO orchestrator.chat_sessions VALUES ('b9d1a197-01c9-48db-9214-632e5a9b431a', 'ed927d58-3f91-4731-a106-3df14d0492dc', 'a1111111-1111-4111-8111-111111111111', NULL, 6, 5, '55f1af46e04c-23', false, '2026-11-27 05:18:41.850834+00', '2026-11-27 05:18:43.057286+00');
INSERT INTO orchestrator.chat_sessions VALUES ('9bcf1e17-00a8-4b99-a7a4-15f9c2ffb986', '5e1cd9df-cfe6-4e05-a84f-09bfaabcd3f2', 'b2222222-2222-4222-8222-222222222222', NULL, 0, 0, NULL, false, '2026-11-27 05:18:45.166663+00', '2026-11-27 05:18:45.166663+00');
INSERT INTO orchestrator.chat_sessions VALUES ('be269d82-acc0-4482-a306-8fa6fa33736e', '5e1cd9df-cfe6-4e05-a84f-09bfaabcd3f2', 'b2222222-2222-4222-8222-222222222222', NULL, 6, 5, '25162a31d3ce-23', false, '2026-11-27 05:18:44.587837+00', '2026-11-27 05:18:45.106929+00');
INSERT INTO orchestrator.messages VALUES ('19c6c140-1ec8-4244-89d4-8dbde3a44aa1', 'b9d1a197-01c9-48db-9214-632e5a9b431a', 'a1111111-1111-4111-8111-111111111111', '3c58a175-028d-436a-81e1-413ab2c0ad5a', NULL, 'user', 'Who are you? 𝄞', 0, '2026-11-27 05:18:41.889264+00', '{}');
INSERT INTO orchestrator.messages VALUES ('49cc4098-8e9c-4d5d-8a9c-bc2665e16583', 'b9d1a197-01c9-48db-9214-632e5a9b431a', 'a1111111-1111-4111-8111-111111111111', '3c58a175-028d-436a-81e1-413ab2c0ad5a', 'f0ea5fed-e4b1-4f9d-b925-c84847291c42', 'assistant', 'A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.', 1, '2026-11-27 05:18:42.602766+00', '{}');
INSERT INTO orchestrator.messages VALUES ('79febc2c-0c6d-49b8-81b2-2832fde98c05', 'b9d1a197-01c9-48db-9214-632e5a9b431a', 'a1111111-1111-4111-8111-111111111111', '6cf56dfa-316c-473c-91f1-1c87508b0bc9', NULL, 'user', 'Fail. #model {"status": 400}', 2, '2026-11-27 05:18:42.683271+00', '{}');
INSERT INTO orchestrator.messages VALUES ('77104e2e-d9dd-4fbb-a3c0-2995d9b2d2fa', 'b9d1a197-01c9-48db-9214-632e5a9b431a', 'a1111111-1111-4111-8111-111111111111', 'babc2163-fe6c-43d9-9d3b-312c19c777d2', NULL, 'user', 'Take your time. #model {"gate": "after the upgrade"}', 4, '2026-11-27 05:18:42.853474+00', '{}');
INSERT INTO orchestrator.messages VALUES ('edbb1de5-4791-474a-bd88-6ff1036fb3d2', 'b9d1a197-01c9-48db-9214-632e5a9b431a', 'a1111111-1111-4111-8111-111111111111', 'cf54caf9-2496-4902-b0a8-c349a3d50b67', NULL, 'user', 'Afterwards.', 6, '2026-11-27 05:18:42.996507+00', '{}');
INSERT INTO orchestrator.messages VALUES ('16079122-1baa-44aa-b94b-ddcd8cba8216', 'b9d1a197-01c9-48db-9214-632e5a9b431a', 'a1111111-1111-4111-8111-111111111111', 'add17bbc-4e75-4101-83b3-cf54282a3c51', NULL, 'user', 'Never mind.', 8, '2026-11-27 05:18:43.036091+00', '{}');
INSERT INTO orchestrator.messages VALUES ('6a3db59b-29d7-4bad-82d1-9e3091a9280b', 'be269d82-acc0-4482-a306-8fa6fa33736e', 'b2222222-2222-4222-8222-222222222222', '0de8f72e-9426-4f7d-9227-a8333493328c', NULL, 'user', 'Who are you? 𝄞', 0, '2026-11-27 05:18:44.638159+00', '{}');
INSERT INTO orchestrator.messages VALUES ('514fe01c-3ced-41cb-bac5-eedc1bece564', 'be269d82-acc0-4482-a306-8fa6fa33736e', 'b2222222-2222-4222-8222-222222222222', '0de8f72e-9426-4f7d-9227-a8333493328c', '80f3c2d1-b582-4cbd-8cfa-6f7ef71344e8', 'assistant', 'A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.', 1, '2026-11-27 05:18:44.837718+00', '{}');
INSERT INTO orchestrator.messages VALUES ('51c20c30-cdcb-49a9-89cf-d50b41be916a', 'be269d82-acc0-4482-a306-8fa6fa33736e', 'b2222222-2222-4222-8222-222222222222', '89b3ad74-643e-4cab-a450-0a8669519493', NULL, 'user', 'Fail. #model {"status": 400}', 2, '2026-11-27 05:18:44.864974+00', '{}');
INSERT INTO orchestrator.messages VALUES ('577ccd0c-d435-491c-9e96-73d2a12ec3a8', 'be269d82-acc0-4482-a306-8fa6fa33736e', 'b2222222-2222-4222-8222-222222222222', '896acf56-da02-46a7-9b7f-5123b03123ae', NULL, 'user', 'Take your time. #model {"gate": "after the upgrade"}', 4, '2026-11-27 05:18:44.974915+00', '{}');
INSERT INTO orchestrator.messages VALUES ('39a2cbee-9b81-48d2-bcac-b05c8c1375a4', 'be269d82-acc0-4482-a306-8fa6fa33736e', 'b2222222-2222-4222-8222-222222222222', '2c9e3a0c-1777-4c8c-86ed-8b3f5b8cd13b', NULL, 'user', 'Afterwards.', 6, '2026-11-27 05:18:45.061432+00', '{}');
INSERT INTO orchestrator.messages VALUES ('14fd8055-f7ca-4cce-a328-39949f16c0b8', 'be269d82-acc0-4482-a306-8fa6fa33736e', 'b2222222-2222-4222-8222-222222222222', 'a60376c2-d4af-48c7-a6f9-a8409c5ba824', NULL, 'user', 'Never mind.', 8, '2026-11-27 05:18:45.084785+00', '{}');
INSERT INTO orchestrator.projects VALUES ('a1111111-1111-4111-8111-111111111111', 'ed927d58-3f91-4731-a106-3df14d0492dc', false);
INSERT INTO orchestrator.projects VALUES ('a1111111-1111-4111-8111-111111111111', '7b3920c1-148e-48ea-89af-42817020f0f6', true);
INSERT INTO orchestrator.projects VALUES ('b2222222-2222-4222-8222-222222222222', '5e1cd9df-cfe6-4e05-a84f-09bfaabcd3f2', false);
INSERT INTO orchestrator.projects VALUES ('b2222222-2222-4222-8222-222222222222', '0a47e698-68bf-4e9c-877b-33ee735f050f', true);
INSERT INTO orchestrator.run_events VALUES ('3c58a175-028d-436a-81e1-413ab2c0ad5a', 1, 1, 'message_received', '{"message": {"id": "19c6c140-1ec8-4244-89d4-8dbde3a44aa1", "role": "user", "run_id": "3c58a175-028d-436a-81e1-413ab2c0ad5a", "content": "Who are you? 𝄞", "agent_id": null, "metadata": {}, "timestamp": "2026-11-27T05:18:41.889264+00:00", "session_id": "b9d1a197-01c9-48db-9214-632e5a9b431a"}}', false, '55f1af46e04c-1', '2026-11-27 05:18:41.889264+00', 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_events VALUES ('3c58a175-028d-436a-81e1-413ab2c0ad5a', 2, 1, 'agent_started', '{"task_id": "answer", "agent_id": "f0ea5fed-e4b1-4f9d-b925-c84847291c42", "agent_name": "Helper"}', false, '55f1af46e04c-2', '2026-11-27 05:18:41.889264+00', 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_events VALUES ('3c58a175-028d-436a-81e1-413ab2c0ad5a', 3, 1, 'agent_completed', '{"usage": {"model_calls": 1, "prompt_tokens": 6, "completion_tokens": 11}, "output": "A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.", "message": {"id": "49cc4098-8e9c-4d5d-8a9c-bc2665e16583", "role": "assistant", "run_id": "3c58a175-028d-436a-81e1-413ab2c0ad5a", "content": "A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.", "agent_id": "f0ea5fed-e4b1-4f9d-b925-c84847291c42", "metadata": {}, "timestamp": "2026-11-27T05:18:42.602766+00:00", "session_id": "b9d1a197-01c9-48db-9214-632e5a9b431a"}, "task_id": "answer", "agent_id": "f0ea5fed-e4b1-4f9d-b925-c84847291c42", "agent_name": "Helper", "duration_ms": 714}', true, '55f1af46e04c-7', '2026-11-27 05:18:42.602766+00', 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_events VALUES ('6cf56dfa-316c-473c-91f1-1c87508b0bc9', 1, 1, 'message_received', '{"message": {"id": "79febc2c-0c6d-49b8-81b2-2832fde98c05", "role": "user", "run_id": "6cf56dfa-316c-473c-91f1-1c87508b0bc9", "content": "Fail. #model {\"status\": 400}", "agent_id": null, "metadata": {}, "timestamp": "2026-11-27T05:18:42.683271+00:00", "session_id": "b9d1a197-01c9-48db-9214-632e5a9b431a"}}', false, '55f1af46e04c-8', '2026-11-27 05:18:42.683271+00', 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_events VALUES ('6cf56dfa-316c-473c-91f1-1c87508b0bc9', 2, 1, 'agent_started', '{"task_id": "answer", "agent_id": "0af654a2-8b5e-4170-aeff-40bd4e15a73d", "agent_name": "CodeAssistant"}', false, '55f1af46e04c-9', '2026-11-27 05:18:42.683271+00', 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_events VALUES ('6cf56dfa-316c-473c-91f1-1c87508b0bc9', 3, 1, 'agent_failed', '{"error": {"detail": "the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config", "reason": "MODEL_REFUSED"}, "task_id": "answer", "agent_id": "0af654a2-8b5e-4170-aeff-40bd4e15a73d"}', false, '55f1af46e04c-14', '2026-11-27 05:18:42.747796+00', 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_events VALUES ('6cf56dfa-316c-473c-91f1-1c87508b0bc9', 4, 1, 'run_failed', '{"error": {"detail": "the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config", "reason": "MODEL_REFUSED"}, "task_id": "answer", "agent_id": "0af654a2-8b5e-4170-aeff-40bd4e15a73d"}', true, '55f1af46e04c-15', '2026-11-27 05:18:42.747796+00', 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_events VALUES ('babc2163-fe6c-43d9-9d3b-312c19c777d2', 1, 1, 'message_received', '{"message": {"id": "77104e2e-d9dd-4fbb-a3c0-2995d9b2d2fa", "role": "user", "run_id": "babc2163-fe6c-43d9-9d3b-312c19c777d2", "content": "Take your time. #model {\"gate\": \"after the upgrade\"}", "agent_id": null, "metadata": {}, "timestamp": "2026-11-27T05:18:42.853474+00:00", "session_id": "b9d1a197-01c9-48db-9214-632e5a9b431a"}}', false, '55f1af46e04c-16', '2026-11-27 05:18:42.853474+00', 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_events VALUES ('babc2163-fe6c-43d9-9d3b-312c19c777d2', 2, 1, 'agent_started', '{"task_id": "answer", "agent_id": "0af654a2-8b5e-4170-aeff-40bd4e15a73d", "agent_name": "CodeAssistant"}', false, '55f1af46e04c-17', '2026-11-27 05:18:42.853474+00', 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_events VALUES ('cf54caf9-2496-4902-b0a8-c349a3d50b67', 1, 0, 'message_received', '{"message": {"id": "edbb1de5-4791-474a-bd88-6ff1036fb3d2", "role": "user", "run_id": "cf54caf9-2496-4902-b0a8-c349a3d50b67", "content": "Afterwards.", "agent_id": null, "metadata": {}, "timestamp": "2026-11-27T05:18:42.996507+00:00", "session_id": "b9d1a197-01c9-48db-9214-632e5a9b431a"}}', false, '55f1af46e04c-21', '2026-11-27 05:18:42.996507+00', 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_events VALUES ('add17bbc-4e75-4101-83b3-cf54282a3c51', 1, 0, 'message_received', '{"message": {"id": "16079122-1baa-44aa-b94b-ddcd8cba8216", "role": "user", "run_id": "add17bbc-4e75-4101-83b3-cf54282a3c51", "content": "Never mind.", "agent_id": null, "metadata": {}, "timestamp": "2026-11-27T05:18:43.036091+00:00", "session_id": "b9d1a197-01c9-48db-9214-632e5a9b431a"}}', false, '55f1af46e04c-22', '2026-11-27 05:18:43.036091+00', 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_events VALUES ('0de8f72e-9426-4f7d-9227-a8333493328c', 1, 1, 'message_received', '{"message": {"id": "6a3db59b-29d7-4bad-82d1-9e3091a9280b", "role": "user", "run_id": "0de8f72e-9426-4f7d-9227-a8333493328c", "content": "Who are you? 𝄞", "agent_id": null, "metadata": {}, "timestamp": "2026-11-27T05:18:44.638159+00:00", "session_id": "be269d82-acc0-4482-a306-8fa6fa33736e"}}', false, '25162a31d3ce-1', '2026-11-27 05:18:44.638159+00', 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_events VALUES ('0de8f72e-9426-4f7d-9227-a8333493328c', 2, 1, 'agent_started', '{"task_id": "answer", "agent_id": "80f3c2d1-b582-4cbd-8cfa-6f7ef71344e8", "agent_name": "Helper"}', false, '25162a31d3ce-2', '2026-11-27 05:18:44.638159+00', 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_events VALUES ('add17bbc-4e75-4101-83b3-cf54282a3c51', 2, 1, 'run_cancelled', '{"reason": "cancelled"}', true, '55f1af46e04c-23', '2026-11-27 05:18:43.057286+00', 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_events VALUES ('89b3ad74-643e-4cab-a450-0a8669519493', 1, 1, 'message_received', '{"message": {"id": "51c20c30-cdcb-49a9-89cf-d50b41be916a", "role": "user", "run_id": "89b3ad74-643e-4cab-a450-0a8669519493", "content": "Fail. #model {\"status\": 400}", "agent_id": null, "metadata": {}, "timestamp": "2026-11-27T05:18:44.864974+00:00", "session_id": "be269d82-acc0-4482-a306-8fa6fa33736e"}}', false, '25162a31d3ce-8', '2026-11-27 05:18:44.864974+00', 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_events VALUES ('89b3ad74-643e-4cab-a450-0a8669519493', 2, 1, 'agent_started', '{"task_id": "answer", "agent_id": "a403622a-08a7-4979-bf23-e24cf5d30597", "agent_name": "CodeAssistant"}', false, '25162a31d3ce-9', '2026-11-27 05:18:44.864974+00', 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_events VALUES ('a60376c2-d4af-48c7-a6f9-a8409c5ba824', 2, 1, 'run_cancelled', '{"reason": "cancelled"}', true, '25162a31d3ce-23', '2026-11-27 05:18:45.106929+00', 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_events VALUES ('0de8f72e-9426-4f7d-9227-a8333493328c', 3, 1, 'agent_completed', '{"usage": {"model_calls": 1, "prompt_tokens": 6, "completion_tokens": 11}, "output": "A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.", "message": {"id": "514fe01c-3ced-41cb-bac5-eedc1bece564", "role": "assistant", "run_id": "0de8f72e-9426-4f7d-9227-a8333493328c", "content": "A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.", "agent_id": "80f3c2d1-b582-4cbd-8cfa-6f7ef71344e8", "metadata": {}, "timestamp": "2026-11-27T05:18:44.837718+00:00", "session_id": "be269d82-acc0-4482-a306-8fa6fa33736e"}, "task_id": "answer", "agent_id": "80f3c2d1-b582-4cbd-8cfa-6f7ef71344e8", "agent_name": "Helper", "duration_ms": 200}', true, '25162a31d3ce-7', '2026-11-27 05:18:44.837718+00', 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_events VALUES ('89b3ad74-643e-4cab-a450-0a8669519493', 3, 1, 'agent_failed', '{"error": {"detail": "the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config", "reason": "MODEL_REFUSED"}, "task_id": "answer", "agent_id": "a403622a-08a7-4979-bf23-e24cf5d30597"}', false, '25162a31d3ce-14', '2026-11-27 05:18:44.948991+00', 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_events VALUES ('89b3ad74-643e-4cab-a450-0a8669519493', 4, 1, 'run_failed', '{"error": {"detail": "the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config", "reason": "MODEL_REFUSED"}, "task_id": "answer", "agent_id": "a403622a-08a7-4979-bf23-e24cf5d30597"}', true, '25162a31d3ce-15', '2026-11-27 05:18:44.948991+00', 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_events VALUES ('896acf56-da02-46a7-9b7f-5123b03123ae', 1, 1, 'message_received', '{"message": {"id": "577ccd0c-d435-491c-9e96-73d2a12ec3a8", "role": "user", "run_id": "896acf56-da02-46a7-9b7f-5123b03123ae", "content": "Take your time. #model {\"gate\": \"after the upgrade\"}", "agent_id": null, "metadata": {}, "timestamp": "2026-11-27T05:18:44.974915+00:00", "session_id": "be269d82-acc0-4482-a306-8fa6fa33736e"}}', false, '25162a31d3ce-16', '2026-11-27 05:18:44.974915+00', 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_events VALUES ('896acf56-da02-46a7-9b7f-5123b03123ae', 2, 1, 'agent_started', '{"task_id": "answer", "agent_id": "a403622a-08a7-4979-bf23-e24cf5d30597", "agent_name": "CodeAssistant"}', false, '25162a31d3ce-17', '2026-11-27 05:18:44.974915+00', 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_events VALUES ('2c9e3a0c-1777-4c8c-86ed-8b3f5b8cd13b', 1, 0, 'message_received', '{"message": {"id": "39a2cbee-9b81-48d2-bcac-b05c8c1375a4", "role": "user", "run_id": "2c9e3a0c-1777-4c8c-86ed-8b3f5b8cd13b", "content": "Afterwards.", "agent_id": null, "metadata": {}, "timestamp": "2026-11-27T05:18:45.061432+00:00", "session_id": "be269d82-acc0-4482-a306-8fa6fa33736e"}}', false, '25162a31d3ce-21', '2026-11-27 05:18:45.061432+00', 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_events VALUES ('a60376c2-d4af-48c7-a6f9-a8409c5ba824', 1, 0, 'message_received', '{"message": {"id": "14fd8055-f7ca-4cce-a328-39949f16c0b8", "role": "user", "run_id": "a60376c2-d4af-48c7-a6f9-a8409c5ba824", "content": "Never mind.", "agent_id": null, "metadata": {}, "timestamp": "2026-11-27T05:18:45.084785+00:00", "session_id": "be269d82-acc0-4482-a306-8fa6fa33736e"}}', false, '25162a31d3ce-22', '2026-11-27 05:18:45.084785+00', 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_tasks VALUES ('3c58a175-028d-436a-81e1-413ab2c0ad5a', 'answer', 0, 'f0ea5fed-e4b1-4f9d-b925-c84847291c42', 'Helper', 'Who are you? 𝄞', 'Who are you? 𝄞', '[]', 'succeeded', 1, 1, 'A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.', NULL, NULL, 6, 11, 1, '2026-11-27 05:18:41.889264+00', '2026-11-27 05:18:42.602766+00', 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_tasks VALUES ('6cf56dfa-316c-473c-91f1-1c87508b0bc9', 'answer', 0, '0af654a2-8b5e-4170-aeff-40bd4e15a73d', 'CodeAssistant', 'Fail. #model {"status": 400}', 'Fail. #model {"status": 400}', '[]', 'failed', 1, 1, NULL, 'MODEL_REFUSED', 'the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config', 0, 0, 0, '2026-11-27 05:18:42.683271+00', '2026-11-27 05:18:42.747796+00', 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_tasks VALUES ('babc2163-fe6c-43d9-9d3b-312c19c777d2', 'answer', 0, '0af654a2-8b5e-4170-aeff-40bd4e15a73d', 'CodeAssistant', 'Take your time. #model {"gate": "after the upgrade"}', 'Take your time. #model {"gate": "after the upgrade"}', '[]', 'running', 1, 1, NULL, NULL, NULL, 0, 0, 0, '2026-11-27 05:18:42.853474+00', NULL, 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_tasks VALUES ('cf54caf9-2496-4902-b0a8-c349a3d50b67', 'answer', 0, '0af654a2-8b5e-4170-aeff-40bd4e15a73d', 'CodeAssistant', 'Afterwards.', 'Afterwards.', '[]', 'pending', 0, 0, NULL, NULL, NULL, 0, 0, 0, NULL, NULL, 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_tasks VALUES ('add17bbc-4e75-4101-83b3-cf54282a3c51', 'answer', 0, '0af654a2-8b5e-4170-aeff-40bd4e15a73d', 'CodeAssistant', 'Never mind.', 'Never mind.', '[]', 'cancelled', 0, 0, NULL, NULL, NULL, 0, 0, 0, NULL, '2026-11-27 05:18:43.057286+00', 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_tasks VALUES ('0de8f72e-9426-4f7d-9227-a8333493328c', 'answer', 0, '80f3c2d1-b582-4cbd-8cfa-6f7ef71344e8', 'Helper', 'Who are you? 𝄞', 'Who are you? 𝄞', '[]', 'succeeded', 1, 1, 'A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.', NULL, NULL, 6, 11, 1, '2026-11-27 05:18:44.638159+00', '2026-11-27 05:18:44.837718+00', 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_tasks VALUES ('89b3ad74-643e-4cab-a450-0a8669519493', 'answer', 0, 'a403622a-08a7-4979-bf23-e24cf5d30597', 'CodeAssistant', 'Fail. #model {"status": 400}', 'Fail. #model {"status": 400}', '[]', 'failed', 1, 1, NULL, 'MODEL_REFUSED', 'the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config', 0, 0, 0, '2026-11-27 05:18:44.864974+00', '2026-11-27 05:18:44.948991+00', 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_tasks VALUES ('896acf56-da02-46a7-9b7f-5123b03123ae', 'answer', 0, 'a403622a-08a7-4979-bf23-e24cf5d30597', 'CodeAssistant', 'Take your time. #model {"gate": "after the upgrade"}', 'Take your time. #model {"gate": "after the upgrade"}', '[]', 'running', 1, 1, NULL, NULL, NULL, 0, 0, 0, '2026-11-27 05:18:44.974915+00', NULL, 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_tasks VALUES ('2c9e3a0c-1777-4c8c-86ed-8b3f5b8cd13b', 'answer', 0, 'a403622a-08a7-4979-bf23-e24cf5d30597', 'CodeAssistant', 'Afterwards.', 'Afterwards.', '[]', 'pending', 0, 0, NULL, NULL, NULL, 0, 0, 0, NULL, NULL, 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_tasks VALUES ('a60376c2-d4af-48c7-a6f9-a8409c5ba824', 'answer', 0, 'a403622a-08a7-4979-bf23-e24cf5d30597', 'CodeAssistant', 'Never mind.', 'Never mind.', '[]', 'cancelled', 0, 0, NULL, NULL, NULL, 0, 0, 0, NULL, '2026-11-27 05:18:45.106929+00', 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.runs VALUES ('3c58a175-028d-436a-81e1-413ab2c0ad5a', 'b9d1a197-01c9-48db-9214-632e5a9b431a', 'ed927d58-3f91-4731-a106-3df14d0492dc', 'a1111111-1111-4111-8111-111111111111', 'direct', 'succeeded', 0, '49cc4098-8e9c-4d5d-8a9c-bc2665e16583', true, NULL, NULL, NULL, NULL, 6, 11, 1, NULL, 1, 1795756727.615174, 0, 3, '55f1af46e04c-7', '2026-11-27 05:18:41.889264+00', '2026-11-27 05:18:41.889264+00', '2026-11-27 05:18:42.602766+00', 0);
INSERT INTO orchestrator.runs VALUES ('6cf56dfa-316c-473c-91f1-1c87508b0bc9', 'b9d1a197-01c9-48db-9214-632e5a9b431a', 'ed927d58-3f91-4731-a106-3df14d0492dc', 'a1111111-1111-4111-8111-111111111111', 'direct', 'failed', 1, 'ec8a8f55-3ce2-421f-a802-7f1b83622df8', false, NULL, 'MODEL_REFUSED', 'the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config', NULL, 0, 0, 0, NULL, 1, 1795756727.767831, 0, 4, '55f1af46e04c-15', '2026-11-27 05:18:42.683271+00', '2026-11-27 05:18:42.683271+00', '2026-11-27 05:18:42.747796+00', 1);
INSERT INTO orchestrator.runs VALUES ('cf54caf9-2496-4902-b0a8-c349a3d50b67', 'b9d1a197-01c9-48db-9214-632e5a9b431a', 'ed927d58-3f91-4731-a106-3df14d0492dc', 'a1111111-1111-4111-8111-111111111111', 'direct', 'queued', 3, 'a69fd432-ed11-4d68-ad89-ee79e266b280', false, NULL, NULL, NULL, NULL, 0, 0, 0, NULL, 0, 1795756728.006259, 0, 1, '55f1af46e04c-21', '2026-11-27 05:18:42.996507+00', NULL, NULL, 3);
INSERT INTO orchestrator.runs VALUES ('add17bbc-4e75-4101-83b3-cf54282a3c51', 'b9d1a197-01c9-48db-9214-632e5a9b431a', 'ed927d58-3f91-4731-a106-3df14d0492dc', 'a1111111-1111-4111-8111-111111111111', 'direct', 'cancelled', 4, '67b08281-a187-4bb6-98e2-36dae5b19f91', false, NULL, NULL, NULL, NULL, 0, 0, 0, NULL, 1, 1795756728.04959, 0, 2, '55f1af46e04c-23', '2026-11-27 05:18:43.036091+00', NULL, '2026-11-27 05:18:43.057286+00', 4);
INSERT INTO orchestrator.runs VALUES ('0de8f72e-9426-4f7d-9227-a8333493328c', 'be269d82-acc0-4482-a306-8fa6fa33736e', '5e1cd9df-cfe6-4e05-a84f-09bfaabcd3f2', 'b2222222-2222-4222-8222-222222222222', 'direct', 'succeeded', 0, '514fe01c-3ced-41cb-bac5-eedc1bece564', true, NULL, NULL, NULL, NULL, 6, 11, 1, NULL, 1, 1795756729.840274, 0, 3, '25162a31d3ce-7', '2026-11-27 05:18:44.638159+00', '2026-11-27 05:18:44.638159+00', '2026-11-27 05:18:44.837718+00', 0);
INSERT INTO orchestrator.runs VALUES ('89b3ad74-643e-4cab-a450-0a8669519493', 'be269d82-acc0-4482-a306-8fa6fa33736e', '5e1cd9df-cfe6-4e05-a84f-09bfaabcd3f2', 'b2222222-2222-4222-8222-222222222222', 'direct', 'failed', 1, '26d2c2f4-4368-4344-abd0-d7e804a45d8c', false, NULL, 'MODEL_REFUSED', 'the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config', NULL, 0, 0, 0, NULL, 1, 1795756729.954576, 0, 4, '25162a31d3ce-15', '2026-11-27 05:18:44.864974+00', '2026-11-27 05:18:44.864974+00', '2026-11-27 05:18:44.948991+00', 1);
INSERT INTO orchestrator.runs VALUES ('2c9e3a0c-1777-4c8c-86ed-8b3f5b8cd13b', 'be269d82-acc0-4482-a306-8fa6fa33736e', '5e1cd9df-cfe6-4e05-a84f-09bfaabcd3f2', 'b2222222-2222-4222-8222-222222222222', 'direct', 'queued', 3, '5b7a4c66-ce4d-4e56-915d-af1fa2e33823', false, NULL, NULL, NULL, NULL, 0, 0, 0, NULL, 0, 1795756730.06569, 0, 1, '25162a31d3ce-21', '2026-11-27 05:18:45.061432+00', NULL, NULL, 3);
INSERT INTO orchestrator.runs VALUES ('a60376c2-d4af-48c7-a6f9-a8409c5ba824', 'be269d82-acc0-4482-a306-8fa6fa33736e', '5e1cd9df-cfe6-4e05-a84f-09bfaabcd3f2', 'b2222222-2222-4222-8222-222222222222', 'direct', 'cancelled', 4, '69c07024-3b6a-4169-8209-6f2eea54d42f', false, NULL, NULL, NULL, NULL, 0, 0, 0, NULL, 1, 1795756730.097205, 0, 2, '25162a31d3ce-23', '2026-11-27 05:18:45.084785+00', NULL, '2026-11-27 05:18:45.106929+00', 4);
INSERT INTO orchestrator.runs VALUES ('babc2163-fe6c-43d9-9d3b-312c19c777d2', 'b9d1a197-01c9-48db-9214-632e5a9b431a', 'ed927d58-3f91-4731-a106-3df14d0492dc', 'a1111111-1111-4111-8111-111111111111', 'direct', 'running', 2, '7766aedc-a5c5-41eb-b3e5-00b5d32b1475', false, NULL, NULL, NULL, NULL, 0, 0, 0, 'f1e4697e-20fb-4fb6-b2ed-c38ac86ca23f', 1, 1795756731.625819, 0, 2, '55f1af46e04c-17', '2026-11-27 05:18:42.853474+00', '2026-11-27 05:18:42.853474+00', NULL, 2);
INSERT INTO orchestrator.runs VALUES ('896acf56-da02-46a7-9b7f-5123b03123ae', 'be269d82-acc0-4482-a306-8fa6fa33736e', '5e1cd9df-cfe6-4e05-a84f-09bfaabcd3f2', 'b2222222-2222-4222-8222-222222222222', 'direct', 'running', 2, '1b2c96f1-84b6-4ca8-94ca-d6636ed2bb50', false, NULL, NULL, NULL, NULL, 0, 0, 0, 'f1e4697e-20fb-4fb6-b2ed-c38ac86ca23f', 1, 1795756731.625884, 0, 2, '25162a31d3ce-17', '2026-11-27 05:18:44.974915+00', '2026-11-27 05:18:44.974915+00', NULL, 2);
INSERT INTO projects.alembic_version VALUES ('0001');
INSERT INTO projects.idempotency_keys VALUES ('a1111111-1111-4111-8111-111111111111', 'CreateProject', 'kept-over-the-upgrade', '83920925a7fa6d08fd73111768736c56f0fa5ac2ffcc87826db747a399176a56', 'ed927d58-3f91-4731-a106-3df14d0492dc', '2026-11-27 05:18:41.688912+00');
INSERT INTO projects.idempotency_keys VALUES ('b2222222-2222-4222-8222-222222222222', 'CreateProject', 'kept-over-the-upgrade', '83920925a7fa6d08fd73111768736c56f0fa5ac2ffcc87826db747a399176a56', '5e1cd9df-cfe6-4e05-a84f-09bfaabcd3f2', '2026-11-27 05:18:44.440257+00');
INSERT INTO projects.user_projects VALUES ('ed927d58-3f91-4731-a106-3df14d0492dc', 'a1111111-1111-4111-8111-111111111111', 'Lab', NULL, 'active', '2026-11-27 05:18:41.688912+00', '2026-11-27 05:18:41.688912+00', NULL, 0);
INSERT INTO projects.user_projects VALUES ('5e1cd9df-cfe6-4e05-a84f-09bfaabcd3f2', 'b2222222-2222-4222-8222-222222222222', 'Lab', NULL, 'active', '2026-11-27 05:18:44.440257+00', '2026-11-27 05:18:44.440257+00', NULL, 0);
INSERT INTO projects.users VALUES ('a1111111-1111-4111-8111-111111111111', NULL, '2026-11-27 05:18:41.681612+00');
INSERT INTO projects.users VALUES ('b2222222-2222-4222-8222-222222222222', NULL, '2026-11-27 05:18:44.427898+00');
ALTER TABLE ONLY agents.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY agents.effects
    ADD CONSTRAINT effects_pkey PRIMARY KEY (project_id, user_id, run_id, task_id, call_id);
ALTER TABLE ONLY agents.executions
    ADD CONSTRAINT executions_pkey PRIMARY KEY (project_id, user_id, run_id, task_id);
ALTER TABLE ONLY agents.idempotency_keys
    ADD CONSTRAINT idempotency_keys_pkey PRIMARY KEY (user_id, scope, request_id);
ALTER TABLE ONLY agents.memory_collections
    ADD CONSTRAINT memory_collections_pkey PRIMARY KEY (agent_id);
ALTER TABLE ONLY agents.user_agents
    ADD CONSTRAINT user_agents_pkey PRIMARY KEY (id);
ALTER TABLE ONLY agents.user_agents
    ADD CONSTRAINT user_agents_project_id_user_id_name_key UNIQUE (project_id, user_id, name);
ALTER TABLE ONLY agents.worker_spaces
    ADD CONSTRAINT worker_spaces_pkey PRIMARY KEY (project_id, user_id);
ALTER TABLE ONLY orchestrator.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY orchestrator.approvals
    ADD CONSTRAINT approvals_pkey PRIMARY KEY (id);
ALTER TABLE ONLY orchestrator.chat_sessions
    ADD CONSTRAINT chat_sessions_pkey PRIMARY KEY (id);
ALTER TABLE ONLY orchestrator.idempotency_keys
    ADD CONSTRAINT idempotency_keys_pkey PRIMARY KEY (user_id, scope, request_id);
ALTER TABLE ONLY orchestrator.messages
    ADD CONSTRAINT messages_pkey PRIMARY KEY (id);
ALTER TABLE ONLY orchestrator.messages
    ADD CONSTRAINT messages_session_id_position_key UNIQUE (session_id, "position");
ALTER TABLE ONLY orchestrator.projects
    ADD CONSTRAINT projects_pkey PRIMARY KEY (user_id, project_id);
ALTER TABLE ONLY orchestrator.run_events
    ADD CONSTRAINT run_events_pkey PRIMARY KEY (run_id, n);
ALTER TABLE ONLY orchestrator.run_tasks
    ADD CONSTRAINT run_tasks_pkey PRIMARY KEY (run_id, id);
ALTER TABLE ONLY orchestrator.runs
    ADD CONSTRAINT runs_pkey PRIMARY KEY (id);
ALTER TABLE ONLY orchestrator.runs
    ADD CONSTRAINT runs_session_id_position_key UNIQUE (session_id, "position");
ALTER TABLE ONLY projects.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY projects.idempotency_keys
    ADD CONSTRAINT idempotency_keys_pkey PRIMARY KEY (user_id, scope, request_id);
ALTER TABLE ONLY projects.user_projects
    ADD CONSTRAINT user_projects_pkey PRIMARY KEY (id);
ALTER TABLE ONLY projects.users
    ADD CONSTRAINT users_email_key UNIQUE (email);
ALTER TABLE ONLY projects.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (id);
CREATE INDEX ix_executions_updated_at ON agents.executions USING btree (updated_at);
CREATE INDEX ix_idempotency_keys_created_at ON agents.idempotency_keys USING btree (created_at);
CREATE INDEX ix_memory_collections_dropped_at ON agents.memory_collections USING btree (dropped_at);
CREATE INDEX memory_collections_owner ON agents.memory_collections USING btree (project_id, user_id);
CREATE INDEX user_agents_newest ON agents.user_agents USING btree (project_id, user_id, created_at, id);
CREATE UNIQUE INDEX worker_spaces_one_owner ON agents.worker_spaces USING btree (project_id) WHERE ((state)::text = 'active'::text);
CREATE INDEX ix_approvals_pending ON orchestrator.approvals USING btree (expires_at) WHERE ((state)::text = 'pending'::text);
CREATE INDEX ix_chat_sessions_deleted ON orchestrator.chat_sessions USING btree (id) WHERE deleted;
CREATE INDEX ix_chat_sessions_owner ON orchestrator.chat_sessions USING btree (user_id, project_id, created_at, id);
CREATE INDEX ix_idempotency_keys_created_at ON orchestrator.idempotency_keys USING btree (created_at);
CREATE INDEX ix_run_events_unpublished ON orchestrator.run_events USING btree (created_at) WHERE (published IS NULL);
CREATE INDEX ix_runs_lease ON orchestrator.runs USING btree (state, lease_until);
CREATE INDEX ix_runs_owner ON orchestrator.runs USING btree (user_id, project_id, created_at, id);
CREATE INDEX ix_runs_unfinished ON orchestrator.runs USING btree (user_id) WHERE ((state)::text = ANY ((ARRAY['planning'::character varying, 'running'::character varying, 'waiting_approval'::character varying, 'queued'::character varying])::text[]));
CREATE UNIQUE INDEX ux_approvals_run ON orchestrator.approvals USING btree (run_id, n);
CREATE UNIQUE INDEX ux_runs_active ON orchestrator.runs USING btree (session_id) WHERE ((state)::text = ANY ((ARRAY['planning'::character varying, 'running'::character varying, 'waiting_approval'::character varying])::text[]));
CREATE UNIQUE INDEX ux_runs_retry_of ON orchestrator.runs USING btree (retry_of);
CREATE INDEX ix_idempotency_keys_created_at ON projects.idempotency_keys USING btree (created_at);
CREATE INDEX ix_user_projects_due_at ON projects.user_projects USING btree (due_at);
CREATE INDEX user_projects_in_order ON projects.user_projects USING btree (user_id, state, created_at, id);
ALTER TABLE ONLY agents.effects
    ADD CONSTRAINT effects_project_id_user_id_run_id_task_id_fkey FOREIGN KEY (project_id, user_id, run_id, task_id) REFERENCES agents.executions(project_id, user_id, run_id, task_id) ON DELETE CASCADE;
ALTER TABLE ONLY agents.executions
    ADD CONSTRAINT executions_project_id_user_id_fkey FOREIGN KEY (project_id, user_id) REFERENCES agents.worker_spaces(project_id, user_id);
ALTER TABLE ONLY agents.memory_collections
    ADD CONSTRAINT memory_collections_project_id_user_id_fkey FOREIGN KEY (project_id, user_id) REFERENCES agents.worker_spaces(project_id, user_id);
ALTER TABLE ONLY agents.user_agents
    ADD CONSTRAINT user_agents_project_id_user_id_fkey FOREIGN KEY (project_id, user_id) REFERENCES agents.worker_spaces(project_id, user_id);
ALTER TABLE ONLY orchestrator.approvals
    ADD CONSTRAINT approvals_run_id_fkey FOREIGN KEY (run_id) REFERENCES orchestrator.runs(id);
ALTER TABLE ONLY orchestrator.messages
    ADD CONSTRAINT messages_session_id_fkey FOREIGN KEY (session_id) REFERENCES orchestrator.chat_sessions(id);
ALTER TABLE ONLY orchestrator.run_events
    ADD CONSTRAINT run_events_run_id_fkey FOREIGN KEY (run_id) REFERENCES orchestrator.runs(id);
ALTER TABLE ONLY orchestrator.run_tasks
    ADD CONSTRAINT run_tasks_run_id_fkey FOREIGN KEY (run_id) REFERENCES orchestrator.runs(id);
ALTER TABLE ONLY orchestrator.runs
    ADD CONSTRAINT runs_session_id_fkey FOREIGN KEY (session_id) REFERENCES orchestrator.chat_sessions(id);
ALTER TABLE ONLY projects.user_projects
    ADD CONSTRAINT user_projects_user_id_fkey FOREIGN KEY (user_id) REFERENCES projects.users(id);
