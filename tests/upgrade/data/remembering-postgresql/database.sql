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
    finished_at timestamp with time zone
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
INSERT INTO agents.alembic_version VALUES ('0002');
INSERT INTO agents.executions VALUES ('3642e6fc-3f70-4a9b-82c4-a2a3f00b07c5', 'a1111111-1111-4111-8111-111111111111', '754a3ba5-9d36-431b-8075-32b6b0d8bbc0', 'answer', 1, 1, '2026-11-27 02:20:30.043851+00');
INSERT INTO agents.executions VALUES ('3642e6fc-3f70-4a9b-82c4-a2a3f00b07c5', 'a1111111-1111-4111-8111-111111111111', 'bef5a353-8943-49b5-8f41-532765640f73', 'answer', 1, 1, '2026-11-27 02:20:30.379065+00');
INSERT INTO agents.executions VALUES ('3642e6fc-3f70-4a9b-82c4-a2a3f00b07c5', 'a1111111-1111-4111-8111-111111111111', '44e94730-cad6-455f-ac5f-1b4bf2def745', 'answer', 1, 1, '2026-11-27 02:20:30.425128+00');
INSERT INTO agents.executions VALUES ('972aaf7f-9166-4674-bcb0-1af6b55c4ec4', 'b2222222-2222-4222-8222-222222222222', '8d8379f6-a99a-4073-a73f-71656cc54f5d', 'answer', 1, 1, '2026-11-27 02:20:30.967022+00');
INSERT INTO agents.executions VALUES ('972aaf7f-9166-4674-bcb0-1af6b55c4ec4', 'b2222222-2222-4222-8222-222222222222', 'e5a0f4af-9e6b-4cf7-bb28-6f1324db8bdf', 'answer', 1, 1, '2026-11-27 02:20:31.079967+00');
INSERT INTO agents.executions VALUES ('972aaf7f-9166-4674-bcb0-1af6b55c4ec4', 'b2222222-2222-4222-8222-222222222222', 'b7ffbdfb-3d11-422c-9d96-80887bc3b001', 'answer', 1, 1, '2026-11-27 02:20:31.135815+00');
INSERT INTO agents.memory_collections VALUES ('a120ad8c-7ef2-4ea1-935c-0b31aa003c5b', '3642e6fc-3f70-4a9b-82c4-a2a3f00b07c5', 'a1111111-1111-4111-8111-111111111111', 'minilm', 384, NULL);
INSERT INTO agents.memory_collections VALUES ('062e0edf-7af6-4e09-839f-4bfff7893eff', '972aaf7f-9166-4674-bcb0-1af6b55c4ec4', 'b2222222-2222-4222-8222-222222222222', 'minilm', 384, NULL);
INSERT INTO agents.user_agents VALUES ('3de46b16-ab36-4329-b79e-c1ff61969237', '3642e6fc-3f70-4a9b-82c4-a2a3f00b07c5', 'a1111111-1111-4111-8111-111111111111', 'CodeAssistant', 'ready', '{"model": "", "tools": [], "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}, "max_tokens": 4096, "burst_limit": null, "temperature": 0.2, "system_prompt": "You are CodeAssistant, a senior software engineer who works with the user on their code.\n\n- Answer the question that was asked, then stop. Show code first and explain only what is not obvious from it.\n- Write code that runs as it stands: complete imports, no placeholders, in the language, style and versions of the user''s project. If these are unknown and matter, say what you assume.\n- When something is broken, find the cause before you propose a change; say how you know it and how to verify the fix.\n- Point out bugs, security holes and lost data that you notice on the way, in one line each. Do not rewrite what was not asked for.\n- Prefer the standard library and what the project already uses to a new dependency.\n- Put code in fenced blocks with the language''s name. Say plainly when you are not sure, and never invent an API.\n", "concurrency_limit": 2}', 1, '2026-11-27 02:20:29.767709+00', '2026-11-27 02:20:29.767709+00');
INSERT INTO agents.user_agents VALUES ('8544e181-c231-4d04-aba8-b9e032a73693', '3642e6fc-3f70-4a9b-82c4-a2a3f00b07c5', 'a1111111-1111-4111-8111-111111111111', 'DataAnalyst', 'ready', '{"model": "", "tools": [], "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}, "max_tokens": 4096, "burst_limit": null, "temperature": 0.2, "system_prompt": "You are DataAnalyst, an analyst who turns data into answers that hold.\n\n- Begin with the answer in a sentence or two, with the numbers that carry it; then show how you got there.\n- State what the data is, how much of it there is, what is missing from it and what you assumed. Check for duplicates, gaps, outliers and mixed units before you calculate.\n- Tell correlation from causation and signal from noise: give sample sizes and, where they matter, intervals.\n- Show calculations so that they can be repeated: SQL or Python (pandas unless told otherwise) that runs as it stands.\n- Use tables for comparisons, name units and periods, and round to what the data supports. When a chart says it better, give the code that draws it.\n- Never make up data. If the question cannot be answered from what is there, say what is needed.\n", "concurrency_limit": 2}', 1, '2026-11-27 02:20:29.767708+00', '2026-11-27 02:20:29.767708+00');
INSERT INTO agents.user_agents VALUES ('c6151243-7956-458a-a6e1-ac980d47ca97', '3642e6fc-3f70-4a9b-82c4-a2a3f00b07c5', 'a1111111-1111-4111-8111-111111111111', 'DocumentWriter', 'ready', '{"model": "", "tools": [], "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}, "max_tokens": 4096, "burst_limit": null, "temperature": 0.7, "system_prompt": "You are DocumentWriter, a technical writer who makes things clear to the people who must use them.\n\n- Find out, or state your assumption, who reads the text and what they want to do with it; write for that.\n- Lead with what the reader needs most. One idea a paragraph, short sentences, active voice, concrete words.\n- Use headings that say something, lists for steps and for what is enumerated, examples for what is abstract.\n- Keep terms the same throughout, and keep the user''s voice and facts when you edit; say what you changed if it alters the meaning.\n- Write Markdown unless asked for another format. Deliver the text itself, without remarks about it before or after.\n- Never invent facts, names, figures or quotations: mark each gap as [to be filled: what is missing].\n", "concurrency_limit": 2}', 1, '2026-11-27 02:20:29.767707+00', '2026-11-27 02:20:29.767707+00');
INSERT INTO agents.user_agents VALUES ('a120ad8c-7ef2-4ea1-935c-0b31aa003c5b', '3642e6fc-3f70-4a9b-82c4-a2a3f00b07c5', 'a1111111-1111-4111-8111-111111111111', 'Helper', 'ready', '{"model": "", "tools": ["search"], "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {"team": ["a", null, 1.5]}, "max_tokens": 4096, "burst_limit": null, "temperature": 0.25, "system_prompt": "Bréf. 𝄞", "concurrency_limit": 2}', 1, '2026-11-27 02:20:29.972073+00', '2026-11-27 02:20:29.972073+00');
INSERT INTO agents.user_agents VALUES ('be0507df-3fd5-494d-ac82-367c4ec3888d', '972aaf7f-9166-4674-bcb0-1af6b55c4ec4', 'b2222222-2222-4222-8222-222222222222', 'CodeAssistant', 'ready', '{"model": "", "tools": [], "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}, "max_tokens": 4096, "burst_limit": null, "temperature": 0.2, "system_prompt": "You are CodeAssistant, a senior software engineer who works with the user on their code.\n\n- Answer the question that was asked, then stop. Show code first and explain only what is not obvious from it.\n- Write code that runs as it stands: complete imports, no placeholders, in the language, style and versions of the user''s project. If these are unknown and matter, say what you assume.\n- When something is broken, find the cause before you propose a change; say how you know it and how to verify the fix.\n- Point out bugs, security holes and lost data that you notice on the way, in one line each. Do not rewrite what was not asked for.\n- Prefer the standard library and what the project already uses to a new dependency.\n- Put code in fenced blocks with the language''s name. Say plainly when you are not sure, and never invent an API.\n", "concurrency_limit": 2}', 1, '2026-11-27 02:20:30.91046+00', '2026-11-27 02:20:30.91046+00');
INSERT INTO agents.user_agents VALUES ('9077e6ed-1e31-4c21-a6c6-997b7d07417d', '972aaf7f-9166-4674-bcb0-1af6b55c4ec4', 'b2222222-2222-4222-8222-222222222222', 'DataAnalyst', 'ready', '{"model": "", "tools": [], "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}, "max_tokens": 4096, "burst_limit": null, "temperature": 0.2, "system_prompt": "You are DataAnalyst, an analyst who turns data into answers that hold.\n\n- Begin with the answer in a sentence or two, with the numbers that carry it; then show how you got there.\n- State what the data is, how much of it there is, what is missing from it and what you assumed. Check for duplicates, gaps, outliers and mixed units before you calculate.\n- Tell correlation from causation and signal from noise: give sample sizes and, where they matter, intervals.\n- Show calculations so that they can be repeated: SQL or Python (pandas unless told otherwise) that runs as it stands.\n- Use tables for comparisons, name units and periods, and round to what the data supports. When a chart says it better, give the code that draws it.\n- Never make up data. If the question cannot be answered from what is there, say what is needed.\n", "concurrency_limit": 2}', 1, '2026-11-27 02:20:30.910459+00', '2026-11-27 02:20:30.910459+00');
INSERT INTO agents.user_agents VALUES ('9d0c1e5b-584f-4cd8-ab4b-8538bf20f856', '972aaf7f-9166-4674-bcb0-1af6b55c4ec4', 'b2222222-2222-4222-8222-222222222222', 'DocumentWriter', 'ready', '{"model": "", "tools": [], "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}, "max_tokens": 4096, "burst_limit": null, "temperature": 0.7, "system_prompt": "You are DocumentWriter, a technical writer who makes things clear to the people who must use them.\n\n- Find out, or state your assumption, who reads the text and what they want to do with it; write for that.\n- Lead with what the reader needs most. One idea a paragraph, short sentences, active voice, concrete words.\n- Use headings that say something, lists for steps and for what is enumerated, examples for what is abstract.\n- Keep terms the same throughout, and keep the user''s voice and facts when you edit; say what you changed if it alters the meaning.\n- Write Markdown unless asked for another format. Deliver the text itself, without remarks about it before or after.\n- Never invent facts, names, figures or quotations: mark each gap as [to be filled: what is missing].\n", "concurrency_limit": 2}', 1, '2026-11-27 02:20:30.910458+00', '2026-11-27 02:20:30.910458+00');
INSERT INTO agents.user_agents VALUES ('062e0edf-7af6-4e09-839f-4bfff7893eff', '972aaf7f-9166-4674-bcb0-1af6b55c4ec4', 'b2222222-2222-4222-8222-222222222222', 'Helper', 'ready', '{"model": "", "tools": ["search"], "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {"team": ["a", null, 1.5]}, "max_tokens": 4096, "burst_limit": null, "temperature": 0.25, "system_prompt": "Bréf. 𝄞", "concurrency_limit": 2}', 1, '2026-11-27 02:20:30.935295+00', '2026-11-27 02:20:30.935295+00');
INSERT INTO agents.worker_spaces VALUES ('2282bf44-8c8c-44ff-b0cf-0bd7565994ad', 'a1111111-1111-4111-8111-111111111111', 'deleted', '2026-11-27 02:20:30.000642+00');
INSERT INTO agents.worker_spaces VALUES ('3642e6fc-3f70-4a9b-82c4-a2a3f00b07c5', 'a1111111-1111-4111-8111-111111111111', 'active', '2026-11-27 02:20:29.767709+00');
INSERT INTO agents.worker_spaces VALUES ('c51ae3ed-0cea-48d2-b716-1b8fa547cbd0', 'b2222222-2222-4222-8222-222222222222', 'deleted', '2026-11-27 02:20:30.946081+00');
INSERT INTO agents.worker_spaces VALUES ('972aaf7f-9166-4674-bcb0-1af6b55c4ec4', 'b2222222-2222-4222-8222-222222222222', 'active', '2026-11-27 02:20:30.91046+00');
INSERT INTO orchestrator.alembic_version VALUES ('0002');
INSERT INTO orchestrator.chat_sessions VALUES ('09f677e9-fcc1-4ddd-9e28-d1eb4a27fb27', '3642e6fc-3f70-4a9b-82c4-a2a3f00b07c5', 'a1111111-1111-4111-8111-111111111111', NULL, 0, 0, NULL, false, '2026-11-27 02:20:30.485696+00', '2026-11-27 02:20:30.485696+00');
INSERT INTO orchestrator.chat_sessions VALUES ('eca8a4c3-60a6-4d1d-a671-7b7b7276929d', '3642e6fc-3f70-4a9b-82c4-a2a3f00b07c5', 'a1111111-1111-4111-8111-111111111111', NULL, 6, 5, '26bca7ef3e01-23', false, '2026-11-27 02:20:29.992725+00', '2026-11-27 02:20:30.470176+00');
INSERT INTO orchestrator.chat_sessions VALUES ('c40bf034-9722-432b-87c4-b81dbeba31fb', '972aaf7f-9166-4674-bcb0-1af6b55c4ec4', 'b2222222-2222-4222-8222-222222222222', NULL, 0, 0, NULL, false, '2026-11-27 02:20:31.209853+00', '2026-11-27 02:20:31.209853+00');
INSERT INTO orchestrator.chat_sessions VALUES ('2264730c-90db-45bc-994e-65f31f75b437', '972aaf7f-9166-4674-bcb0-1af6b55c4ec4', 'b2222222-2222-4222-8222-222222222222', NULL, 6, 5, 'd94e460843f5-23', false, '2026-11-27 02:20:30.944017+00', '2026-11-27 02:20:31.192327+00');
INSERT INTO orchestrator.messages VALUES ('b79e9855-b1bb-4c4d-9e2e-ccc68905070c', 'eca8a4c3-60a6-4d1d-a671-7b7b7276929d', 'a1111111-1111-4111-8111-111111111111', '754a3ba5-9d36-431b-8075-32b6b0d8bbc0', NULL, 'user', 'Who are you? 𝄞', 0, '2026-11-27 02:20:30.01727+00', '{}');
INSERT INTO orchestrator.messages VALUES ('19c90c47-3e76-458c-bdae-87f7a627446d', 'eca8a4c3-60a6-4d1d-a671-7b7b7276929d', 'a1111111-1111-4111-8111-111111111111', '754a3ba5-9d36-431b-8075-32b6b0d8bbc0', 'a120ad8c-7ef2-4ea1-935c-0b31aa003c5b', 'assistant', 'A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.', 1, '2026-11-27 02:20:30.337237+00', '{}');
INSERT INTO orchestrator.messages VALUES ('d4a16430-4806-4edf-bdc1-73f87d18ffbe', 'eca8a4c3-60a6-4d1d-a671-7b7b7276929d', 'a1111111-1111-4111-8111-111111111111', 'bef5a353-8943-49b5-8f41-532765640f73', NULL, 'user', 'Fail. #model {"status": 400}', 2, '2026-11-27 02:20:30.366916+00', '{}');
INSERT INTO orchestrator.messages VALUES ('d4f2f160-05c4-40c3-b364-60a791e2fccf', 'eca8a4c3-60a6-4d1d-a671-7b7b7276929d', 'a1111111-1111-4111-8111-111111111111', '44e94730-cad6-455f-ac5f-1b4bf2def745', NULL, 'user', 'Take your time. #model {"gate": "after the upgrade"}', 4, '2026-11-27 02:20:30.414821+00', '{}');
INSERT INTO orchestrator.messages VALUES ('fee17a8f-c153-4d84-bc52-d5396c9c6403', 'eca8a4c3-60a6-4d1d-a671-7b7b7276929d', 'a1111111-1111-4111-8111-111111111111', '9199d5d0-ff1a-4a5d-bd22-3f083bf39c0b', NULL, 'user', 'Afterwards.', 6, '2026-11-27 02:20:30.447274+00', '{}');
INSERT INTO orchestrator.messages VALUES ('08d328aa-892a-412e-afad-437d9917d0bc', 'eca8a4c3-60a6-4d1d-a671-7b7b7276929d', 'a1111111-1111-4111-8111-111111111111', '1e37bea0-205c-40db-9254-85d7183f5f74', NULL, 'user', 'Never mind.', 8, '2026-11-27 02:20:30.462648+00', '{}');
INSERT INTO orchestrator.messages VALUES ('4312c8e1-dd3a-4282-9254-82c9505ec879', '2264730c-90db-45bc-994e-65f31f75b437', 'b2222222-2222-4222-8222-222222222222', '8d8379f6-a99a-4073-a73f-71656cc54f5d', NULL, 'user', 'Who are you? 𝄞', 0, '2026-11-27 02:20:30.961055+00', '{}');
INSERT INTO orchestrator.messages VALUES ('7b4444b9-886e-44f5-91c4-b384a025a9d6', '2264730c-90db-45bc-994e-65f31f75b437', 'b2222222-2222-4222-8222-222222222222', '8d8379f6-a99a-4073-a73f-71656cc54f5d', '062e0edf-7af6-4e09-839f-4bfff7893eff', 'assistant', 'A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.', 1, '2026-11-27 02:20:31.0506+00', '{}');
INSERT INTO orchestrator.messages VALUES ('438226cb-76dc-4fa9-8688-bd8adbb3b9b4', '2264730c-90db-45bc-994e-65f31f75b437', 'b2222222-2222-4222-8222-222222222222', 'e5a0f4af-9e6b-4cf7-bb28-6f1324db8bdf', NULL, 'user', 'Fail. #model {"status": 400}', 2, '2026-11-27 02:20:31.070537+00', '{}');
INSERT INTO orchestrator.messages VALUES ('8e441358-c0f3-493e-af7c-4d688bb2de0c', '2264730c-90db-45bc-994e-65f31f75b437', 'b2222222-2222-4222-8222-222222222222', 'b7ffbdfb-3d11-422c-9d96-80887bc3b001', NULL, 'user', 'Take your time. #model {"gate": "after the upgrade"}', 4, '2026-11-27 02:20:31.122983+00', '{}');
INSERT INTO orchestrator.messages VALUES ('607790d1-4ead-4593-808a-f231bd46cc06', '2264730c-90db-45bc-994e-65f31f75b437', 'b2222222-2222-4222-8222-222222222222', 'b9e3b220-86ab-4f70-82e8-945fcfc4433b', NULL, 'user', 'Afterwards.', 6, '2026-11-27 02:20:31.152088+00', '{}');
INSERT INTO orchestrator.messages VALUES ('00b074be-a06f-48d1-a5e9-e38b3e4a62b3', '2264730c-90db-45bc-994e-65f31f75b437', 'b2222222-2222-4222-8222-222222222222', 'a9c988fc-87b0-40dd-8f7b-ca6b8ebd4e47', NULL, 'user', 'Never mind.', 8, '2026-11-27 02:20:31.18183+00', '{}');
INSERT INTO orchestrator.projects VALUES ('a1111111-1111-4111-8111-111111111111', '3642e6fc-3f70-4a9b-82c4-a2a3f00b07c5', false);
INSERT INTO orchestrator.projects VALUES ('a1111111-1111-4111-8111-111111111111', '2282bf44-8c8c-44ff-b0cf-0bd7565994ad', true);
INSERT INTO orchestrator.projects VALUES ('b2222222-2222-4222-8222-222222222222', '972aaf7f-9166-4674-bcb0-1af6b55c4ec4', false);
INSERT INTO orchestrator.projects VALUES ('b2222222-2222-4222-8222-222222222222', 'c51ae3ed-0cea-48d2-b716-1b8fa547cbd0', true);
INSERT INTO orchestrator.run_events VALUES ('754a3ba5-9d36-431b-8075-32b6b0d8bbc0', 1, 1, 'message_received', '{"message": {"id": "b79e9855-b1bb-4c4d-9e2e-ccc68905070c", "role": "user", "run_id": "754a3ba5-9d36-431b-8075-32b6b0d8bbc0", "content": "Who are you? 𝄞", "agent_id": null, "metadata": {}, "timestamp": "2026-11-27T02:20:30.017270+00:00", "session_id": "eca8a4c3-60a6-4d1d-a671-7b7b7276929d"}}', false, '26bca7ef3e01-1', '2026-11-27 02:20:30.01727+00', 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_events VALUES ('754a3ba5-9d36-431b-8075-32b6b0d8bbc0', 2, 1, 'agent_started', '{"task_id": "answer", "agent_id": "a120ad8c-7ef2-4ea1-935c-0b31aa003c5b", "agent_name": "Helper"}', false, '26bca7ef3e01-2', '2026-11-27 02:20:30.01727+00', 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_events VALUES ('754a3ba5-9d36-431b-8075-32b6b0d8bbc0', 3, 1, 'agent_completed', '{"usage": {"model_calls": 1, "prompt_tokens": 6, "completion_tokens": 11}, "output": "A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.", "message": {"id": "19c90c47-3e76-458c-bdae-87f7a627446d", "role": "assistant", "run_id": "754a3ba5-9d36-431b-8075-32b6b0d8bbc0", "content": "A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.", "agent_id": "a120ad8c-7ef2-4ea1-935c-0b31aa003c5b", "metadata": {}, "timestamp": "2026-11-27T02:20:30.337237+00:00", "session_id": "eca8a4c3-60a6-4d1d-a671-7b7b7276929d"}, "task_id": "answer", "agent_id": "a120ad8c-7ef2-4ea1-935c-0b31aa003c5b", "agent_name": "Helper", "duration_ms": 320}', true, '26bca7ef3e01-7', '2026-11-27 02:20:30.337237+00', 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_events VALUES ('bef5a353-8943-49b5-8f41-532765640f73', 1, 1, 'message_received', '{"message": {"id": "d4a16430-4806-4edf-bdc1-73f87d18ffbe", "role": "user", "run_id": "bef5a353-8943-49b5-8f41-532765640f73", "content": "Fail. #model {\"status\": 400}", "agent_id": null, "metadata": {}, "timestamp": "2026-11-27T02:20:30.366916+00:00", "session_id": "eca8a4c3-60a6-4d1d-a671-7b7b7276929d"}}', false, '26bca7ef3e01-8', '2026-11-27 02:20:30.366916+00', 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_events VALUES ('bef5a353-8943-49b5-8f41-532765640f73', 2, 1, 'agent_started', '{"task_id": "answer", "agent_id": "3de46b16-ab36-4329-b79e-c1ff61969237", "agent_name": "CodeAssistant"}', false, '26bca7ef3e01-9', '2026-11-27 02:20:30.366916+00', 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_events VALUES ('bef5a353-8943-49b5-8f41-532765640f73', 3, 1, 'agent_failed', '{"error": {"detail": "the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config", "reason": "MODEL_REFUSED"}, "task_id": "answer", "agent_id": "3de46b16-ab36-4329-b79e-c1ff61969237"}', false, '26bca7ef3e01-14', '2026-11-27 02:20:30.399361+00', 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_events VALUES ('bef5a353-8943-49b5-8f41-532765640f73', 4, 1, 'run_failed', '{"error": {"detail": "the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config", "reason": "MODEL_REFUSED"}, "task_id": "answer", "agent_id": "3de46b16-ab36-4329-b79e-c1ff61969237"}', true, '26bca7ef3e01-15', '2026-11-27 02:20:30.399361+00', 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_events VALUES ('44e94730-cad6-455f-ac5f-1b4bf2def745', 1, 1, 'message_received', '{"message": {"id": "d4f2f160-05c4-40c3-b364-60a791e2fccf", "role": "user", "run_id": "44e94730-cad6-455f-ac5f-1b4bf2def745", "content": "Take your time. #model {\"gate\": \"after the upgrade\"}", "agent_id": null, "metadata": {}, "timestamp": "2026-11-27T02:20:30.414821+00:00", "session_id": "eca8a4c3-60a6-4d1d-a671-7b7b7276929d"}}', false, '26bca7ef3e01-16', '2026-11-27 02:20:30.414821+00', 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_events VALUES ('44e94730-cad6-455f-ac5f-1b4bf2def745', 2, 1, 'agent_started', '{"task_id": "answer", "agent_id": "3de46b16-ab36-4329-b79e-c1ff61969237", "agent_name": "CodeAssistant"}', false, '26bca7ef3e01-17', '2026-11-27 02:20:30.414821+00', 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_events VALUES ('9199d5d0-ff1a-4a5d-bd22-3f083bf39c0b', 1, 0, 'message_received', '{"message": {"id": "fee17a8f-c153-4d84-bc52-d5396c9c6403", "role": "user", "run_id": "9199d5d0-ff1a-4a5d-bd22-3f083bf39c0b", "content": "Afterwards.", "agent_id": null, "metadata": {}, "timestamp": "2026-11-27T02:20:30.447274+00:00", "session_id": "eca8a4c3-60a6-4d1d-a671-7b7b7276929d"}}', false, '26bca7ef3e01-19', '2026-11-27 02:20:30.447274+00', 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_events VALUES ('1e37bea0-205c-40db-9254-85d7183f5f74', 1, 0, 'message_received', '{"message": {"id": "08d328aa-892a-412e-afad-437d9917d0bc", "role": "user", "run_id": "1e37bea0-205c-40db-9254-85d7183f5f74", "content": "Never mind.", "agent_id": null, "metadata": {}, "timestamp": "2026-11-27T02:20:30.462648+00:00", "session_id": "eca8a4c3-60a6-4d1d-a671-7b7b7276929d"}}', false, '26bca7ef3e01-22', '2026-11-27 02:20:30.462648+00', 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_events VALUES ('1e37bea0-205c-40db-9254-85d7183f5f74', 2, 1, 'run_cancelled', '{"reason": "cancelled"}', true, '26bca7ef3e01-23', '2026-11-27 02:20:30.470176+00', 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_events VALUES ('8d8379f6-a99a-4073-a73f-71656cc54f5d', 1, 1, 'message_received', '{"message": {"id": "4312c8e1-dd3a-4282-9254-82c9505ec879", "role": "user", "run_id": "8d8379f6-a99a-4073-a73f-71656cc54f5d", "content": "Who are you? 𝄞", "agent_id": null, "metadata": {}, "timestamp": "2026-11-27T02:20:30.961055+00:00", "session_id": "2264730c-90db-45bc-994e-65f31f75b437"}}', false, 'd94e460843f5-1', '2026-11-27 02:20:30.961055+00', 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_events VALUES ('8d8379f6-a99a-4073-a73f-71656cc54f5d', 2, 1, 'agent_started', '{"task_id": "answer", "agent_id": "062e0edf-7af6-4e09-839f-4bfff7893eff", "agent_name": "Helper"}', false, 'd94e460843f5-2', '2026-11-27 02:20:30.961055+00', 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_events VALUES ('e5a0f4af-9e6b-4cf7-bb28-6f1324db8bdf', 1, 1, 'message_received', '{"message": {"id": "438226cb-76dc-4fa9-8688-bd8adbb3b9b4", "role": "user", "run_id": "e5a0f4af-9e6b-4cf7-bb28-6f1324db8bdf", "content": "Fail. #model {\"status\": 400}", "agent_id": null, "metadata": {}, "timestamp": "2026-11-27T02:20:31.070537+00:00", "session_id": "2264730c-90db-45bc-994e-65f31f75b437"}}', false, 'd94e460843f5-8', '2026-11-27 02:20:31.070537+00', 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_events VALUES ('e5a0f4af-9e6b-4cf7-bb28-6f1324db8bdf', 2, 1, 'agent_started', '{"task_id": "answer", "agent_id": "be0507df-3fd5-494d-ac82-367c4ec3888d", "agent_name": "CodeAssistant"}', false, 'd94e460843f5-9', '2026-11-27 02:20:31.070537+00', 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_events VALUES ('e5a0f4af-9e6b-4cf7-bb28-6f1324db8bdf', 3, 1, 'agent_failed', '{"error": {"detail": "the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config", "reason": "MODEL_REFUSED"}, "task_id": "answer", "agent_id": "be0507df-3fd5-494d-ac82-367c4ec3888d"}', false, 'd94e460843f5-14', '2026-11-27 02:20:31.104367+00', 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_events VALUES ('e5a0f4af-9e6b-4cf7-bb28-6f1324db8bdf', 4, 1, 'run_failed', '{"error": {"detail": "the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config", "reason": "MODEL_REFUSED"}, "task_id": "answer", "agent_id": "be0507df-3fd5-494d-ac82-367c4ec3888d"}', true, 'd94e460843f5-15', '2026-11-27 02:20:31.104367+00', 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_events VALUES ('b7ffbdfb-3d11-422c-9d96-80887bc3b001', 2, 1, 'agent_started', '{"task_id": "answer", "agent_id": "be0507df-3fd5-494d-ac82-367c4ec3888d", "agent_name": "CodeAssistant"}', false, 'd94e460843f5-17', '2026-11-27 02:20:31.122983+00', 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_events VALUES ('8d8379f6-a99a-4073-a73f-71656cc54f5d', 3, 1, 'agent_completed', '{"usage": {"model_calls": 1, "prompt_tokens": 6, "completion_tokens": 11}, "output": "A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.", "message": {"id": "7b4444b9-886e-44f5-91c4-b384a025a9d6", "role": "assistant", "run_id": "8d8379f6-a99a-4073-a73f-71656cc54f5d", "content": "A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.", "agent_id": "062e0edf-7af6-4e09-839f-4bfff7893eff", "metadata": {}, "timestamp": "2026-11-27T02:20:31.050600+00:00", "session_id": "2264730c-90db-45bc-994e-65f31f75b437"}, "task_id": "answer", "agent_id": "062e0edf-7af6-4e09-839f-4bfff7893eff", "agent_name": "Helper", "duration_ms": 90}', true, 'd94e460843f5-7', '2026-11-27 02:20:31.0506+00', 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_events VALUES ('b7ffbdfb-3d11-422c-9d96-80887bc3b001', 1, 1, 'message_received', '{"message": {"id": "8e441358-c0f3-493e-af7c-4d688bb2de0c", "role": "user", "run_id": "b7ffbdfb-3d11-422c-9d96-80887bc3b001", "content": "Take your time. #model {\"gate\": \"after the upgrade\"}", "agent_id": null, "metadata": {}, "timestamp": "2026-11-27T02:20:31.122983+00:00", "session_id": "2264730c-90db-45bc-994e-65f31f75b437"}}', false, 'd94e460843f5-16', '2026-11-27 02:20:31.122983+00', 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_events VALUES ('b9e3b220-86ab-4f70-82e8-945fcfc4433b', 1, 0, 'message_received', '{"message": {"id": "607790d1-4ead-4593-808a-f231bd46cc06", "role": "user", "run_id": "b9e3b220-86ab-4f70-82e8-945fcfc4433b", "content": "Afterwards.", "agent_id": null, "metadata": {}, "timestamp": "2026-11-27T02:20:31.152088+00:00", "session_id": "2264730c-90db-45bc-994e-65f31f75b437"}}', false, 'd94e460843f5-19', '2026-11-27 02:20:31.152088+00', 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_events VALUES ('a9c988fc-87b0-40dd-8f7b-ca6b8ebd4e47', 1, 0, 'message_received', '{"message": {"id": "00b074be-a06f-48d1-a5e9-e38b3e4a62b3", "role": "user", "run_id": "a9c988fc-87b0-40dd-8f7b-ca6b8ebd4e47", "content": "Never mind.", "agent_id": null, "metadata": {}, "timestamp": "2026-11-27T02:20:31.181830+00:00", "session_id": "2264730c-90db-45bc-994e-65f31f75b437"}}', false, 'd94e460843f5-22', '2026-11-27 02:20:31.18183+00', 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_events VALUES ('a9c988fc-87b0-40dd-8f7b-ca6b8ebd4e47', 2, 1, 'run_cancelled', '{"reason": "cancelled"}', true, 'd94e460843f5-23', '2026-11-27 02:20:31.192327+00', 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_tasks VALUES ('754a3ba5-9d36-431b-8075-32b6b0d8bbc0', 'answer', 0, 'a120ad8c-7ef2-4ea1-935c-0b31aa003c5b', 'Helper', 'Who are you? 𝄞', 'Who are you? 𝄞', '[]', 'succeeded', 1, 1, 'A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.', NULL, NULL, 6, 11, 1, '2026-11-27 02:20:30.01727+00', '2026-11-27 02:20:30.337237+00', 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_tasks VALUES ('bef5a353-8943-49b5-8f41-532765640f73', 'answer', 0, '3de46b16-ab36-4329-b79e-c1ff61969237', 'CodeAssistant', 'Fail. #model {"status": 400}', 'Fail. #model {"status": 400}', '[]', 'failed', 1, 1, NULL, 'MODEL_REFUSED', 'the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config', 0, 0, 0, '2026-11-27 02:20:30.366916+00', '2026-11-27 02:20:30.399361+00', 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_tasks VALUES ('44e94730-cad6-455f-ac5f-1b4bf2def745', 'answer', 0, '3de46b16-ab36-4329-b79e-c1ff61969237', 'CodeAssistant', 'Take your time. #model {"gate": "after the upgrade"}', 'Take your time. #model {"gate": "after the upgrade"}', '[]', 'running', 1, 1, NULL, NULL, NULL, 0, 0, 0, '2026-11-27 02:20:30.414821+00', NULL, 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_tasks VALUES ('9199d5d0-ff1a-4a5d-bd22-3f083bf39c0b', 'answer', 0, '3de46b16-ab36-4329-b79e-c1ff61969237', 'CodeAssistant', 'Afterwards.', 'Afterwards.', '[]', 'pending', 0, 0, NULL, NULL, NULL, 0, 0, 0, NULL, NULL, 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_tasks VALUES ('1e37bea0-205c-40db-9254-85d7183f5f74', 'answer', 0, '3de46b16-ab36-4329-b79e-c1ff61969237', 'CodeAssistant', 'Never mind.', 'Never mind.', '[]', 'cancelled', 0, 0, NULL, NULL, NULL, 0, 0, 0, NULL, '2026-11-27 02:20:30.470176+00', 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_tasks VALUES ('8d8379f6-a99a-4073-a73f-71656cc54f5d', 'answer', 0, '062e0edf-7af6-4e09-839f-4bfff7893eff', 'Helper', 'Who are you? 𝄞', 'Who are you? 𝄞', '[]', 'succeeded', 1, 1, 'A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.', NULL, NULL, 6, 11, 1, '2026-11-27 02:20:30.961055+00', '2026-11-27 02:20:31.0506+00', 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_tasks VALUES ('e5a0f4af-9e6b-4cf7-bb28-6f1324db8bdf', 'answer', 0, 'be0507df-3fd5-494d-ac82-367c4ec3888d', 'CodeAssistant', 'Fail. #model {"status": 400}', 'Fail. #model {"status": 400}', '[]', 'failed', 1, 1, NULL, 'MODEL_REFUSED', 'the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config', 0, 0, 0, '2026-11-27 02:20:31.070537+00', '2026-11-27 02:20:31.104367+00', 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_tasks VALUES ('b7ffbdfb-3d11-422c-9d96-80887bc3b001', 'answer', 0, 'be0507df-3fd5-494d-ac82-367c4ec3888d', 'CodeAssistant', 'Take your time. #model {"gate": "after the upgrade"}', 'Take your time. #model {"gate": "after the upgrade"}', '[]', 'running', 1, 1, NULL, NULL, NULL, 0, 0, 0, '2026-11-27 02:20:31.122983+00', NULL, 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_tasks VALUES ('b9e3b220-86ab-4f70-82e8-945fcfc4433b', 'answer', 0, 'be0507df-3fd5-494d-ac82-367c4ec3888d', 'CodeAssistant', 'Afterwards.', 'Afterwards.', '[]', 'pending', 0, 0, NULL, NULL, NULL, 0, 0, 0, NULL, NULL, 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_tasks VALUES ('a9c988fc-87b0-40dd-8f7b-ca6b8ebd4e47', 'answer', 0, 'be0507df-3fd5-494d-ac82-367c4ec3888d', 'CodeAssistant', 'Never mind.', 'Never mind.', '[]', 'cancelled', 0, 0, NULL, NULL, NULL, 0, 0, 0, NULL, '2026-11-27 02:20:31.192327+00', 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.runs VALUES ('8d8379f6-a99a-4073-a73f-71656cc54f5d', '2264730c-90db-45bc-994e-65f31f75b437', '972aaf7f-9166-4674-bcb0-1af6b55c4ec4', 'b2222222-2222-4222-8222-222222222222', 'direct', 'succeeded', 0, '7b4444b9-886e-44f5-91c4-b384a025a9d6', true, NULL, NULL, NULL, NULL, 6, 11, 1, NULL, 1, 1795746036.052558, 0, 3, 'd94e460843f5-7', '2026-11-27 02:20:30.961055+00', '2026-11-27 02:20:30.961055+00', '2026-11-27 02:20:31.0506+00');
INSERT INTO orchestrator.runs VALUES ('754a3ba5-9d36-431b-8075-32b6b0d8bbc0', 'eca8a4c3-60a6-4d1d-a671-7b7b7276929d', '3642e6fc-3f70-4a9b-82c4-a2a3f00b07c5', 'a1111111-1111-4111-8111-111111111111', 'direct', 'succeeded', 0, '19c90c47-3e76-458c-bdae-87f7a627446d', true, NULL, NULL, NULL, NULL, 6, 11, 1, NULL, 1, 1795746035.344332, 0, 3, '26bca7ef3e01-7', '2026-11-27 02:20:30.01727+00', '2026-11-27 02:20:30.01727+00', '2026-11-27 02:20:30.337237+00');
INSERT INTO orchestrator.runs VALUES ('bef5a353-8943-49b5-8f41-532765640f73', 'eca8a4c3-60a6-4d1d-a671-7b7b7276929d', '3642e6fc-3f70-4a9b-82c4-a2a3f00b07c5', 'a1111111-1111-4111-8111-111111111111', 'direct', 'failed', 1, 'd5bcfbf5-1b5d-430b-bf1f-9aa31803349e', false, NULL, 'MODEL_REFUSED', 'the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config', NULL, 0, 0, 0, NULL, 1, 1795746035.402932, 0, 4, '26bca7ef3e01-15', '2026-11-27 02:20:30.366916+00', '2026-11-27 02:20:30.366916+00', '2026-11-27 02:20:30.399361+00');
INSERT INTO orchestrator.runs VALUES ('e5a0f4af-9e6b-4cf7-bb28-6f1324db8bdf', '2264730c-90db-45bc-994e-65f31f75b437', '972aaf7f-9166-4674-bcb0-1af6b55c4ec4', 'b2222222-2222-4222-8222-222222222222', 'direct', 'failed', 1, 'ff3dbd1e-a914-413a-81d7-99320fe0989e', false, NULL, 'MODEL_REFUSED', 'the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config', NULL, 0, 0, 0, NULL, 1, 1795746036.106515, 0, 4, 'd94e460843f5-15', '2026-11-27 02:20:31.070537+00', '2026-11-27 02:20:31.070537+00', '2026-11-27 02:20:31.104367+00');
INSERT INTO orchestrator.runs VALUES ('9199d5d0-ff1a-4a5d-bd22-3f083bf39c0b', 'eca8a4c3-60a6-4d1d-a671-7b7b7276929d', '3642e6fc-3f70-4a9b-82c4-a2a3f00b07c5', 'a1111111-1111-4111-8111-111111111111', 'direct', 'queued', 3, '729be18f-65f1-4ea9-a824-17ed14138298', false, NULL, NULL, NULL, NULL, 0, 0, 0, NULL, 0, 1795746035.449276, 0, 1, '26bca7ef3e01-19', '2026-11-27 02:20:30.447274+00', NULL, NULL);
INSERT INTO orchestrator.runs VALUES ('1e37bea0-205c-40db-9254-85d7183f5f74', 'eca8a4c3-60a6-4d1d-a671-7b7b7276929d', '3642e6fc-3f70-4a9b-82c4-a2a3f00b07c5', 'a1111111-1111-4111-8111-111111111111', 'direct', 'cancelled', 4, '5b29f5ce-1b67-4fa8-a828-c896786f7d75', false, NULL, NULL, NULL, NULL, 0, 0, 0, NULL, 1, 1795746035.464575, 0, 2, '26bca7ef3e01-23', '2026-11-27 02:20:30.462648+00', NULL, '2026-11-27 02:20:30.470176+00');
INSERT INTO orchestrator.runs VALUES ('b9e3b220-86ab-4f70-82e8-945fcfc4433b', '2264730c-90db-45bc-994e-65f31f75b437', '972aaf7f-9166-4674-bcb0-1af6b55c4ec4', 'b2222222-2222-4222-8222-222222222222', 'direct', 'queued', 3, 'f037876e-3d6e-4ec5-8c24-73e01fa3e7cb', false, NULL, NULL, NULL, NULL, 0, 0, 0, NULL, 0, 1795746036.156562, 0, 1, 'd94e460843f5-19', '2026-11-27 02:20:31.152088+00', NULL, NULL);
INSERT INTO orchestrator.runs VALUES ('a9c988fc-87b0-40dd-8f7b-ca6b8ebd4e47', '2264730c-90db-45bc-994e-65f31f75b437', '972aaf7f-9166-4674-bcb0-1af6b55c4ec4', 'b2222222-2222-4222-8222-222222222222', 'direct', 'cancelled', 4, '83292156-60a0-4432-b24d-dae35bed06d9', false, NULL, NULL, NULL, NULL, 0, 0, 0, NULL, 1, 1795746036.184265, 0, 2, 'd94e460843f5-23', '2026-11-27 02:20:31.18183+00', NULL, '2026-11-27 02:20:31.192327+00');
INSERT INTO orchestrator.runs VALUES ('44e94730-cad6-455f-ac5f-1b4bf2def745', 'eca8a4c3-60a6-4d1d-a671-7b7b7276929d', '3642e6fc-3f70-4a9b-82c4-a2a3f00b07c5', 'a1111111-1111-4111-8111-111111111111', 'direct', 'running', 2, 'a049728e-b2eb-4348-a85f-7aa5054bb69a', false, NULL, NULL, NULL, NULL, 0, 0, 0, 'ad6abdaa-0e1d-42f4-9d92-03eee0343712', 1, 1795746037.475061, 0, 2, '26bca7ef3e01-17', '2026-11-27 02:20:30.414821+00', '2026-11-27 02:20:30.414821+00', NULL);
INSERT INTO orchestrator.runs VALUES ('b7ffbdfb-3d11-422c-9d96-80887bc3b001', '2264730c-90db-45bc-994e-65f31f75b437', '972aaf7f-9166-4674-bcb0-1af6b55c4ec4', 'b2222222-2222-4222-8222-222222222222', 'direct', 'running', 2, '4d6c74bc-f683-4154-88b5-9e2193bcdfb3', false, NULL, NULL, NULL, NULL, 0, 0, 0, 'ad6abdaa-0e1d-42f4-9d92-03eee0343712', 1, 1795746037.475215, 0, 2, 'd94e460843f5-17', '2026-11-27 02:20:31.122983+00', '2026-11-27 02:20:31.122983+00', NULL);
INSERT INTO projects.alembic_version VALUES ('0001');
INSERT INTO projects.idempotency_keys VALUES ('a1111111-1111-4111-8111-111111111111', 'CreateProject', 'kept-over-the-upgrade', '83920925a7fa6d08fd73111768736c56f0fa5ac2ffcc87826db747a399176a56', '3642e6fc-3f70-4a9b-82c4-a2a3f00b07c5', '2026-11-27 02:20:29.736734+00');
INSERT INTO projects.idempotency_keys VALUES ('b2222222-2222-4222-8222-222222222222', 'CreateProject', 'kept-over-the-upgrade', '83920925a7fa6d08fd73111768736c56f0fa5ac2ffcc87826db747a399176a56', '972aaf7f-9166-4674-bcb0-1af6b55c4ec4', '2026-11-27 02:20:30.904539+00');
INSERT INTO projects.user_projects VALUES ('3642e6fc-3f70-4a9b-82c4-a2a3f00b07c5', 'a1111111-1111-4111-8111-111111111111', 'Lab', NULL, 'active', '2026-11-27 02:20:29.736734+00', '2026-11-27 02:20:29.736734+00', NULL, 0);
INSERT INTO projects.user_projects VALUES ('972aaf7f-9166-4674-bcb0-1af6b55c4ec4', 'b2222222-2222-4222-8222-222222222222', 'Lab', NULL, 'active', '2026-11-27 02:20:30.904539+00', '2026-11-27 02:20:30.904539+00', NULL, 0);
INSERT INTO projects.users VALUES ('a1111111-1111-4111-8111-111111111111', NULL, '2026-11-27 02:20:29.728974+00');
INSERT INTO projects.users VALUES ('b2222222-2222-4222-8222-222222222222', NULL, '2026-11-27 02:20:30.901336+00');
ALTER TABLE ONLY agents.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
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
CREATE INDEX ix_chat_sessions_deleted ON orchestrator.chat_sessions USING btree (id) WHERE deleted;
CREATE INDEX ix_chat_sessions_owner ON orchestrator.chat_sessions USING btree (user_id, project_id, created_at, id);
CREATE INDEX ix_idempotency_keys_created_at ON orchestrator.idempotency_keys USING btree (created_at);
CREATE INDEX ix_run_events_unpublished ON orchestrator.run_events USING btree (created_at) WHERE (published IS NULL);
CREATE INDEX ix_runs_lease ON orchestrator.runs USING btree (state, lease_until);
CREATE INDEX ix_runs_owner ON orchestrator.runs USING btree (user_id, project_id, created_at, id);
CREATE UNIQUE INDEX ux_runs_active ON orchestrator.runs USING btree (session_id) WHERE ((state)::text = ANY ((ARRAY['planning'::character varying, 'running'::character varying, 'waiting_approval'::character varying])::text[]));
CREATE INDEX ix_idempotency_keys_created_at ON projects.idempotency_keys USING btree (created_at);
CREATE INDEX ix_user_projects_due_at ON projects.user_projects USING btree (due_at);
CREATE INDEX user_projects_in_order ON projects.user_projects USING btree (user_id, state, created_at, id);
ALTER TABLE ONLY agents.executions
    ADD CONSTRAINT executions_project_id_user_id_fkey FOREIGN KEY (project_id, user_id) REFERENCES agents.worker_spaces(project_id, user_id);
ALTER TABLE ONLY agents.memory_collections
    ADD CONSTRAINT memory_collections_project_id_user_id_fkey FOREIGN KEY (project_id, user_id) REFERENCES agents.worker_spaces(project_id, user_id);
ALTER TABLE ONLY agents.user_agents
    ADD CONSTRAINT user_agents_project_id_user_id_fkey FOREIGN KEY (project_id, user_id) REFERENCES agents.worker_spaces(project_id, user_id);
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
