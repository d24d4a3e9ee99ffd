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
    created_at timestamp with time zone NOT NULL
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
    finished_at timestamp with time zone
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
INSERT INTO agents.alembic_version VALUES ('0001');
INSERT INTO agents.executions VALUES ('798faeff-79cc-4eb2-80f7-27b8ae6e20c4', 'a1111111-1111-4111-8111-111111111111', 'a26f201c-3f84-4ffc-971a-3d568cdf6929', 'answer', 1, 1, '2026-11-23 04:30:50.781723+00');
INSERT INTO agents.executions VALUES ('798faeff-79cc-4eb2-80f7-27b8ae6e20c4', 'a1111111-1111-4111-8111-111111111111', '72a14573-c7fc-411d-bce2-9d5e99d17afd', 'answer', 1, 1, '2026-11-23 04:30:50.902609+00');
INSERT INTO agents.executions VALUES ('798faeff-79cc-4eb2-80f7-27b8ae6e20c4', 'a1111111-1111-4111-8111-111111111111', '15f762d5-9918-4e22-89f0-6630d4b2f3e2', 'answer', 1, 1, '2026-11-23 04:30:50.94563+00');
INSERT INTO agents.executions VALUES ('b72870ad-baf9-421d-b8cf-9372d47d70f2', 'b2222222-2222-4222-8222-222222222222', '92eff9a4-c728-49f5-8944-4e3b8a66d3a0', 'answer', 1, 1, '2026-11-23 04:30:51.875645+00');
INSERT INTO agents.executions VALUES ('b72870ad-baf9-421d-b8cf-9372d47d70f2', 'b2222222-2222-4222-8222-222222222222', '44942268-895e-45ed-91f5-f346bb506214', 'answer', 1, 1, '2026-11-23 04:30:52.002827+00');
INSERT INTO agents.executions VALUES ('b72870ad-baf9-421d-b8cf-9372d47d70f2', 'b2222222-2222-4222-8222-222222222222', 'c2098bd4-13ff-4edc-9c59-f2be7fa664a0', 'answer', 1, 1, '2026-11-23 04:30:52.152789+00');
INSERT INTO agents.user_agents VALUES ('c7b6555e-1a6a-4f38-bfa4-44f6723090a3', '798faeff-79cc-4eb2-80f7-27b8ae6e20c4', 'a1111111-1111-4111-8111-111111111111', 'CodeAssistant', 'ready', '{"model": "", "tools": [], "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}, "max_tokens": 4096, "burst_limit": null, "temperature": 0.2, "system_prompt": "You are CodeAssistant, a senior software engineer who works with the user on their code.\n\n- Answer the question that was asked, then stop. Show code first and explain only what is not obvious from it.\n- Write code that runs as it stands: complete imports, no placeholders, in the language, style and versions of the user''s project. If these are unknown and matter, say what you assume.\n- When something is broken, find the cause before you propose a change; say how you know it and how to verify the fix.\n- Point out bugs, security holes and lost data that you notice on the way, in one line each. Do not rewrite what was not asked for.\n- Prefer the standard library and what the project already uses to a new dependency.\n- Put code in fenced blocks with the language''s name. Say plainly when you are not sure, and never invent an API.\n", "concurrency_limit": 2}', 1, '2026-11-23 04:30:50.294146+00', '2026-11-23 04:30:50.294146+00');
INSERT INTO agents.user_agents VALUES ('4f54112b-c59c-4e9f-83da-a27af1a3b64e', '798faeff-79cc-4eb2-80f7-27b8ae6e20c4', 'a1111111-1111-4111-8111-111111111111', 'DataAnalyst', 'ready', '{"model": "", "tools": [], "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}, "max_tokens": 4096, "burst_limit": null, "temperature": 0.2, "system_prompt": "You are DataAnalyst, an analyst who turns data into answers that hold.\n\n- Begin with the answer in a sentence or two, with the numbers that carry it; then show how you got there.\n- State what the data is, how much of it there is, what is missing from it and what you assumed. Check for duplicates, gaps, outliers and mixed units before you calculate.\n- Tell correlation from causation and signal from noise: give sample sizes and, where they matter, intervals.\n- Show calculations so that they can be repeated: SQL or Python (pandas unless told otherwise) that runs as it stands.\n- Use tables for comparisons, name units and periods, and round to what the data supports. When a chart says it better, give the code that draws it.\n- Never make up data. If the question cannot be answered from what is there, say what is needed.\n", "concurrency_limit": 2}', 1, '2026-11-23 04:30:50.294145+00', '2026-11-23 04:30:50.294145+00');
INSERT INTO agents.user_agents VALUES ('ac99c82f-f3dc-4d06-a9d0-a3020a8e58af', '798faeff-79cc-4eb2-80f7-27b8ae6e20c4', 'a1111111-1111-4111-8111-111111111111', 'DocumentWriter', 'ready', '{"model": "", "tools": [], "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}, "max_tokens": 4096, "burst_limit": null, "temperature": 0.7, "system_prompt": "You are DocumentWriter, a technical writer who makes things clear to the people who must use them.\n\n- Find out, or state your assumption, who reads the text and what they want to do with it; write for that.\n- Lead with what the reader needs most. One idea a paragraph, short sentences, active voice, concrete words.\n- Use headings that say something, lists for steps and for what is enumerated, examples for what is abstract.\n- Keep terms the same throughout, and keep the user''s voice and facts when you edit; say what you changed if it alters the meaning.\n- Write Markdown unless asked for another format. Deliver the text itself, without remarks about it before or after.\n- Never invent facts, names, figures or quotations: mark each gap as [to be filled: what is missing].\n", "concurrency_limit": 2}', 1, '2026-11-23 04:30:50.294144+00', '2026-11-23 04:30:50.294144+00');
INSERT INTO agents.user_agents VALUES ('a8cd50e9-c5d6-41c3-9bb7-bd6fcc11a2d6', '798faeff-79cc-4eb2-80f7-27b8ae6e20c4', 'a1111111-1111-4111-8111-111111111111', 'Helper', 'ready', '{"model": "", "tools": ["search"], "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {"team": ["a", null, 1.5]}, "max_tokens": 4096, "burst_limit": null, "temperature": 0.25, "system_prompt": "Bréf. 𝄞", "concurrency_limit": 2}', 1, '2026-11-23 04:30:50.410561+00', '2026-11-23 04:30:50.410561+00');
INSERT INTO agents.user_agents VALUES ('fd970092-cd0d-4592-b084-7bfe0e07a6ff', 'b72870ad-baf9-421d-b8cf-9372d47d70f2', 'b2222222-2222-4222-8222-222222222222', 'CodeAssistant', 'ready', '{"model": "", "tools": [], "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}, "max_tokens": 4096, "burst_limit": null, "temperature": 0.2, "system_prompt": "You are CodeAssistant, a senior software engineer who works with the user on their code.\n\n- Answer the question that was asked, then stop. Show code first and explain only what is not obvious from it.\n- Write code that runs as it stands: complete imports, no placeholders, in the language, style and versions of the user''s project. If these are unknown and matter, say what you assume.\n- When something is broken, find the cause before you propose a change; say how you know it and how to verify the fix.\n- Point out bugs, security holes and lost data that you notice on the way, in one line each. Do not rewrite what was not asked for.\n- Prefer the standard library and what the project already uses to a new dependency.\n- Put code in fenced blocks with the language''s name. Say plainly when you are not sure, and never invent an API.\n", "concurrency_limit": 2}', 1, '2026-11-23 04:30:51.767002+00', '2026-11-23 04:30:51.767002+00');
INSERT INTO agents.user_agents VALUES ('64e95cc6-2766-40bd-9628-022ea04d39ab', 'b72870ad-baf9-421d-b8cf-9372d47d70f2', 'b2222222-2222-4222-8222-222222222222', 'DataAnalyst', 'ready', '{"model": "", "tools": [], "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}, "max_tokens": 4096, "burst_limit": null, "temperature": 0.2, "system_prompt": "You are DataAnalyst, an analyst who turns data into answers that hold.\n\n- Begin with the answer in a sentence or two, with the numbers that carry it; then show how you got there.\n- State what the data is, how much of it there is, what is missing from it and what you assumed. Check for duplicates, gaps, outliers and mixed units before you calculate.\n- Tell correlation from causation and signal from noise: give sample sizes and, where they matter, intervals.\n- Show calculations so that they can be repeated: SQL or Python (pandas unless told otherwise) that runs as it stands.\n- Use tables for comparisons, name units and periods, and round to what the data supports. When a chart says it better, give the code that draws it.\n- Never make up data. If the question cannot be answered from what is there, say what is needed.\n", "concurrency_limit": 2}', 1, '2026-11-23 04:30:51.767001+00', '2026-11-23 04:30:51.767001+00');
INSERT INTO agents.user_agents VALUES ('972fe6dd-c224-4d67-b250-113a0d8757b1', 'b72870ad-baf9-421d-b8cf-9372d47d70f2', 'b2222222-2222-4222-8222-222222222222', 'DocumentWriter', 'ready', '{"model": "", "tools": [], "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}, "max_tokens": 4096, "burst_limit": null, "temperature": 0.7, "system_prompt": "You are DocumentWriter, a technical writer who makes things clear to the people who must use them.\n\n- Find out, or state your assumption, who reads the text and what they want to do with it; write for that.\n- Lead with what the reader needs most. One idea a paragraph, short sentences, active voice, concrete words.\n- Use headings that say something, lists for steps and for what is enumerated, examples for what is abstract.\n- Keep terms the same throughout, and keep the user''s voice and facts when you edit; say what you changed if it alters the meaning.\n- Write Markdown unless asked for another format. Deliver the text itself, without remarks about it before or after.\n- Never invent facts, names, figures or quotations: mark each gap as [to be filled: what is missing].\n", "concurrency_limit": 2}', 1, '2026-11-23 04:30:51.767+00', '2026-11-23 04:30:51.767+00');
INSERT INTO agents.user_agents VALUES ('8d45e956-6bc3-43df-bbb2-d13da9f30e12', 'b72870ad-baf9-421d-b8cf-9372d47d70f2', 'b2222222-2222-4222-8222-222222222222', 'Helper', 'ready', '{"model": "", "tools": ["search"], "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {"team": ["a", null, 1.5]}, "max_tokens": 4096, "burst_limit": null, "temperature": 0.25, "system_prompt": "Bréf. 𝄞", "concurrency_limit": 2}', 1, '2026-11-23 04:30:51.802251+00', '2026-11-23 04:30:51.802251+00');
INSERT INTO agents.worker_spaces VALUES ('39e4ebec-c703-47a3-ab88-a65101620bc9', 'a1111111-1111-4111-8111-111111111111', 'deleted', '2026-11-23 04:30:50.708898+00');
INSERT INTO agents.worker_spaces VALUES ('798faeff-79cc-4eb2-80f7-27b8ae6e20c4', 'a1111111-1111-4111-8111-111111111111', 'active', '2026-11-23 04:30:50.294146+00');
INSERT INTO agents.worker_spaces VALUES ('855c9cd1-070f-4278-80c6-fc4b08789c74', 'b2222222-2222-4222-8222-222222222222', 'deleted', '2026-11-23 04:30:51.830753+00');
INSERT INTO agents.worker_spaces VALUES ('b72870ad-baf9-421d-b8cf-9372d47d70f2', 'b2222222-2222-4222-8222-222222222222', 'active', '2026-11-23 04:30:51.767002+00');
INSERT INTO orchestrator.alembic_version VALUES ('0001');
INSERT INTO orchestrator.chat_sessions VALUES ('937d8fa9-9c1c-4249-a34d-f6a83bfe2454', '798faeff-79cc-4eb2-80f7-27b8ae6e20c4', 'a1111111-1111-4111-8111-111111111111', NULL, 0, 0, NULL, false, '2026-11-23 04:30:51.055552+00', '2026-11-23 04:30:51.055552+00');
INSERT INTO orchestrator.chat_sessions VALUES ('d2938027-1486-4588-8693-f4bfbebe84fb', '798faeff-79cc-4eb2-80f7-27b8ae6e20c4', 'a1111111-1111-4111-8111-111111111111', NULL, 6, 5, '83791a6b8cb5-23', false, '2026-11-23 04:30:50.700042+00', '2026-11-23 04:30:51.018551+00');
INSERT INTO orchestrator.chat_sessions VALUES ('439e620a-3a33-41b5-a908-6b3969ee04bc', 'b72870ad-baf9-421d-b8cf-9372d47d70f2', 'b2222222-2222-4222-8222-222222222222', NULL, 0, 0, NULL, false, '2026-11-23 04:30:52.361177+00', '2026-11-23 04:30:52.361177+00');
INSERT INTO orchestrator.chat_sessions VALUES ('16c802a4-64eb-4bdf-8fad-d39a5f0fd5ae', 'b72870ad-baf9-421d-b8cf-9372d47d70f2', 'b2222222-2222-4222-8222-222222222222', NULL, 6, 5, 'a83c35731027-23', false, '2026-11-23 04:30:51.819772+00', '2026-11-23 04:30:52.316992+00');
INSERT INTO orchestrator.messages VALUES ('6ad04233-0b1f-4e7f-a2d1-d4b360d5b0b5', 'd2938027-1486-4588-8693-f4bfbebe84fb', 'a1111111-1111-4111-8111-111111111111', 'a26f201c-3f84-4ffc-971a-3d568cdf6929', NULL, 'user', 'Who are you? 𝄞', 0, '2026-11-23 04:30:50.749562+00', '{}');
INSERT INTO orchestrator.messages VALUES ('26b13b12-719c-429d-ba0e-a83a0145c314', 'd2938027-1486-4588-8693-f4bfbebe84fb', 'a1111111-1111-4111-8111-111111111111', 'a26f201c-3f84-4ffc-971a-3d568cdf6929', 'a8cd50e9-c5d6-41c3-9bb7-bd6fcc11a2d6', 'assistant', 'A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.', 1, '2026-11-23 04:30:50.852422+00', '{}');
INSERT INTO orchestrator.messages VALUES ('15487a87-b088-4e41-9b1f-63e16ad444af', 'd2938027-1486-4588-8693-f4bfbebe84fb', 'a1111111-1111-4111-8111-111111111111', '72a14573-c7fc-411d-bce2-9d5e99d17afd', NULL, 'user', 'Fail. #model {"status": 400}', 2, '2026-11-23 04:30:50.8821+00', '{}');
INSERT INTO orchestrator.messages VALUES ('53e439d9-e9d9-4648-a7a9-5b992f24f9f3', 'd2938027-1486-4588-8693-f4bfbebe84fb', 'a1111111-1111-4111-8111-111111111111', '15f762d5-9918-4e22-89f0-6630d4b2f3e2', NULL, 'user', 'Take your time. #model {"gate": "after the upgrade"}', 4, '2026-11-23 04:30:50.932546+00', '{}');
INSERT INTO orchestrator.messages VALUES ('54612a9e-a44a-41fc-95ef-a566e24646b1', 'd2938027-1486-4588-8693-f4bfbebe84fb', 'a1111111-1111-4111-8111-111111111111', '4aa9b052-7b91-4c8b-ac73-004b733cecf1', NULL, 'user', 'Afterwards.', 6, '2026-11-23 04:30:50.98938+00', '{}');
INSERT INTO orchestrator.messages VALUES ('8b701a82-fc36-4f35-acfd-f7b7bb40c5ab', 'd2938027-1486-4588-8693-f4bfbebe84fb', 'a1111111-1111-4111-8111-111111111111', '1fc1299a-92b5-409f-ab28-097ca232cdf7', NULL, 'user', 'Never mind.', 8, '2026-11-23 04:30:51.009982+00', '{}');
INSERT INTO orchestrator.messages VALUES ('d4b6b119-7866-4fdb-aff6-f93a28d543f0', '16c802a4-64eb-4bdf-8fad-d39a5f0fd5ae', 'b2222222-2222-4222-8222-222222222222', '92eff9a4-c728-49f5-8944-4e3b8a66d3a0', NULL, 'user', 'Who are you? 𝄞', 0, '2026-11-23 04:30:51.847885+00', '{}');
INSERT INTO orchestrator.messages VALUES ('974b7922-673a-4685-8efa-5d3a30398a9c', '16c802a4-64eb-4bdf-8fad-d39a5f0fd5ae', 'b2222222-2222-4222-8222-222222222222', '92eff9a4-c728-49f5-8944-4e3b8a66d3a0', '8d45e956-6bc3-43df-bbb2-d13da9f30e12', 'assistant', 'A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.', 1, '2026-11-23 04:30:51.931244+00', '{}');
INSERT INTO orchestrator.messages VALUES ('f53b4742-a38b-4c4d-bbb2-facb3edd9ad4', '16c802a4-64eb-4bdf-8fad-d39a5f0fd5ae', 'b2222222-2222-4222-8222-222222222222', '44942268-895e-45ed-91f5-f346bb506214', NULL, 'user', 'Fail. #model {"status": 400}', 2, '2026-11-23 04:30:51.973429+00', '{}');
INSERT INTO orchestrator.messages VALUES ('163cad59-7ac7-4b85-8e41-6c9d39c5d4f9', '16c802a4-64eb-4bdf-8fad-d39a5f0fd5ae', 'b2222222-2222-4222-8222-222222222222', 'c2098bd4-13ff-4edc-9c59-f2be7fa664a0', NULL, 'user', 'Take your time. #model {"gate": "after the upgrade"}', 4, '2026-11-23 04:30:52.090209+00', '{}');
INSERT INTO orchestrator.messages VALUES ('e60a83ac-e25a-4ec1-970e-6fe51131a20c', '16c802a4-64eb-4bdf-8fad-d39a5f0fd5ae', 'b2222222-2222-4222-8222-222222222222', 'f8e4c8aa-c303-4eda-8c28-87d3fcb25738', NULL, 'user', 'Afterwards.', 6, '2026-11-23 04:30:52.227199+00', '{}');
INSERT INTO orchestrator.messages VALUES ('5109d9bd-06a6-4865-beb6-27354fe99de0', '16c802a4-64eb-4bdf-8fad-d39a5f0fd5ae', 'b2222222-2222-4222-8222-222222222222', '37de7417-2114-4d5d-8214-544a0f48dfba', NULL, 'user', 'Never mind.', 8, '2026-11-23 04:30:52.282223+00', '{}');
INSERT INTO orchestrator.projects VALUES ('a1111111-1111-4111-8111-111111111111', '798faeff-79cc-4eb2-80f7-27b8ae6e20c4', false);
INSERT INTO orchestrator.projects VALUES ('a1111111-1111-4111-8111-111111111111', '39e4ebec-c703-47a3-ab88-a65101620bc9', true);
INSERT INTO orchestrator.projects VALUES ('b2222222-2222-4222-8222-222222222222', 'b72870ad-baf9-421d-b8cf-9372d47d70f2', false);
INSERT INTO orchestrator.projects VALUES ('b2222222-2222-4222-8222-222222222222', '855c9cd1-070f-4278-80c6-fc4b08789c74', true);
INSERT INTO orchestrator.run_events VALUES ('a26f201c-3f84-4ffc-971a-3d568cdf6929', 1, 1, 'message_received', '{"message": {"id": "6ad04233-0b1f-4e7f-a2d1-d4b360d5b0b5", "role": "user", "run_id": "a26f201c-3f84-4ffc-971a-3d568cdf6929", "content": "Who are you? 𝄞", "agent_id": null, "metadata": {}, "timestamp": "2026-11-23T04:30:50.749562+00:00", "session_id": "d2938027-1486-4588-8693-f4bfbebe84fb"}}', false, '83791a6b8cb5-1', '2026-11-23 04:30:50.749562+00');
INSERT INTO orchestrator.run_events VALUES ('a26f201c-3f84-4ffc-971a-3d568cdf6929', 2, 1, 'agent_started', '{"task_id": "answer", "agent_id": "a8cd50e9-c5d6-41c3-9bb7-bd6fcc11a2d6", "agent_name": "Helper"}', false, '83791a6b8cb5-2', '2026-11-23 04:30:50.749562+00');
INSERT INTO orchestrator.run_events VALUES ('a26f201c-3f84-4ffc-971a-3d568cdf6929', 3, 1, 'agent_completed', '{"usage": {"model_calls": 1, "prompt_tokens": 6, "completion_tokens": 11}, "output": "A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.", "message": {"id": "26b13b12-719c-429d-ba0e-a83a0145c314", "role": "assistant", "run_id": "a26f201c-3f84-4ffc-971a-3d568cdf6929", "content": "A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.", "agent_id": "a8cd50e9-c5d6-41c3-9bb7-bd6fcc11a2d6", "metadata": {}, "timestamp": "2026-11-23T04:30:50.852422+00:00", "session_id": "d2938027-1486-4588-8693-f4bfbebe84fb"}, "task_id": "answer", "agent_id": "a8cd50e9-c5d6-41c3-9bb7-bd6fcc11a2d6", "agent_name": "Helper", "duration_ms": 103}', true, '83791a6b8cb5-7', '2026-11-23 04:30:50.852422+00');
INSERT INTO orchestrator.run_events VALUES ('72a14573-c7fc-411d-bce2-9d5e99d17afd', 1, 1, 'message_received', '{"message": {"id": "15487a87-b088-4e41-9b1f-63e16ad444af", "role": "user", "run_id": "72a14573-c7fc-411d-bce2-9d5e99d17afd", "content": "Fail. #model {\"status\": 400}", "agent_id": null, "metadata": {}, "timestamp": "2026-11-23T04:30:50.882100+00:00", "session_id": "d2938027-1486-4588-8693-f4bfbebe84fb"}}', false, '83791a6b8cb5-8', '2026-11-23 04:30:50.8821+00');
INSERT INTO orchestrator.run_events VALUES ('72a14573-c7fc-411d-bce2-9d5e99d17afd', 2, 1, 'agent_started', '{"task_id": "answer", "agent_id": "c7b6555e-1a6a-4f38-bfa4-44f6723090a3", "agent_name": "CodeAssistant"}', false, '83791a6b8cb5-9', '2026-11-23 04:30:50.8821+00');
INSERT INTO orchestrator.run_events VALUES ('72a14573-c7fc-411d-bce2-9d5e99d17afd', 3, 1, 'agent_failed', '{"error": {"detail": "the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config", "reason": "MODEL_REFUSED"}, "task_id": "answer", "agent_id": "c7b6555e-1a6a-4f38-bfa4-44f6723090a3"}', false, '83791a6b8cb5-14', '2026-11-23 04:30:50.915124+00');
INSERT INTO orchestrator.run_events VALUES ('72a14573-c7fc-411d-bce2-9d5e99d17afd', 4, 1, 'run_failed', '{"error": {"detail": "the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config", "reason": "MODEL_REFUSED"}, "task_id": "answer", "agent_id": "c7b6555e-1a6a-4f38-bfa4-44f6723090a3"}', true, '83791a6b8cb5-15', '2026-11-23 04:30:50.915124+00');
INSERT INTO orchestrator.run_events VALUES ('15f762d5-9918-4e22-89f0-6630d4b2f3e2', 1, 1, 'message_received', '{"message": {"id": "53e439d9-e9d9-4648-a7a9-5b992f24f9f3", "role": "user", "run_id": "15f762d5-9918-4e22-89f0-6630d4b2f3e2", "content": "Take your time. #model {\"gate\": \"after the upgrade\"}", "agent_id": null, "metadata": {}, "timestamp": "2026-11-23T04:30:50.932546+00:00", "session_id": "d2938027-1486-4588-8693-f4bfbebe84fb"}}', false, '83791a6b8cb5-16', '2026-11-23 04:30:50.932546+00');
INSERT INTO orchestrator.run_events VALUES ('15f762d5-9918-4e22-89f0-6630d4b2f3e2', 2, 1, 'agent_started', '{"task_id": "answer", "agent_id": "c7b6555e-1a6a-4f38-bfa4-44f6723090a3", "agent_name": "CodeAssistant"}', false, '83791a6b8cb5-17', '2026-11-23 04:30:50.932546+00');
INSERT INTO orchestrator.run_events VALUES ('1fc1299a-92b5-409f-ab28-097ca232cdf7', 2, 1, 'run_cancelled', '{"reason": "cancelled"}', true, '83791a6b8cb5-23', '2026-11-23 04:30:51.018551+00');
INSERT INTO orchestrator.run_events VALUES ('44942268-895e-45ed-91f5-f346bb506214', 1, 1, 'message_received', '{"message": {"id": "f53b4742-a38b-4c4d-bbb2-facb3edd9ad4", "role": "user", "run_id": "44942268-895e-45ed-91f5-f346bb506214", "content": "Fail. #model {\"status\": 400}", "agent_id": null, "metadata": {}, "timestamp": "2026-11-23T04:30:51.973429+00:00", "session_id": "16c802a4-64eb-4bdf-8fad-d39a5f0fd5ae"}}', false, 'a83c35731027-8', '2026-11-23 04:30:51.973429+00');
INSERT INTO orchestrator.run_events VALUES ('44942268-895e-45ed-91f5-f346bb506214', 2, 1, 'agent_started', '{"task_id": "answer", "agent_id": "fd970092-cd0d-4592-b084-7bfe0e07a6ff", "agent_name": "CodeAssistant"}', false, 'a83c35731027-9', '2026-11-23 04:30:51.973429+00');
INSERT INTO orchestrator.run_events VALUES ('44942268-895e-45ed-91f5-f346bb506214', 3, 1, 'agent_failed', '{"error": {"detail": "the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config", "reason": "MODEL_REFUSED"}, "task_id": "answer", "agent_id": "fd970092-cd0d-4592-b084-7bfe0e07a6ff"}', false, 'a83c35731027-14', '2026-11-23 04:30:52.025833+00');
INSERT INTO orchestrator.run_events VALUES ('44942268-895e-45ed-91f5-f346bb506214', 4, 1, 'run_failed', '{"error": {"detail": "the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config", "reason": "MODEL_REFUSED"}, "task_id": "answer", "agent_id": "fd970092-cd0d-4592-b084-7bfe0e07a6ff"}', true, 'a83c35731027-15', '2026-11-23 04:30:52.025833+00');
INSERT INTO orchestrator.run_events VALUES ('37de7417-2114-4d5d-8214-544a0f48dfba', 2, 1, 'run_cancelled', '{"reason": "cancelled"}', true, 'a83c35731027-23', '2026-11-23 04:30:52.316992+00');
INSERT INTO orchestrator.run_events VALUES ('4aa9b052-7b91-4c8b-ac73-004b733cecf1', 1, 0, 'message_received', '{"message": {"id": "54612a9e-a44a-41fc-95ef-a566e24646b1", "role": "user", "run_id": "4aa9b052-7b91-4c8b-ac73-004b733cecf1", "content": "Afterwards.", "agent_id": null, "metadata": {}, "timestamp": "2026-11-23T04:30:50.989380+00:00", "session_id": "d2938027-1486-4588-8693-f4bfbebe84fb"}}', false, '83791a6b8cb5-21', '2026-11-23 04:30:50.98938+00');
INSERT INTO orchestrator.run_events VALUES ('1fc1299a-92b5-409f-ab28-097ca232cdf7', 1, 0, 'message_received', '{"message": {"id": "8b701a82-fc36-4f35-acfd-f7b7bb40c5ab", "role": "user", "run_id": "1fc1299a-92b5-409f-ab28-097ca232cdf7", "content": "Never mind.", "agent_id": null, "metadata": {}, "timestamp": "2026-11-23T04:30:51.009982+00:00", "session_id": "d2938027-1486-4588-8693-f4bfbebe84fb"}}', false, '83791a6b8cb5-22', '2026-11-23 04:30:51.009982+00');
INSERT INTO orchestrator.run_events VALUES ('92eff9a4-c728-49f5-8944-4e3b8a66d3a0', 1, 1, 'message_received', '{"message": {"id": "d4b6b119-7866-4fdb-aff6-f93a28d543f0", "role": "user", "run_id": "92eff9a4-c728-49f5-8944-4e3b8a66d3a0", "content": "Who are you? 𝄞", "agent_id": null, "metadata": {}, "timestamp": "2026-11-23T04:30:51.847885+00:00", "session_id": "16c802a4-64eb-4bdf-8fad-d39a5f0fd5ae"}}', false, 'a83c35731027-1', '2026-11-23 04:30:51.847885+00');
INSERT INTO orchestrator.run_events VALUES ('92eff9a4-c728-49f5-8944-4e3b8a66d3a0', 2, 1, 'agent_started', '{"task_id": "answer", "agent_id": "8d45e956-6bc3-43df-bbb2-d13da9f30e12", "agent_name": "Helper"}', false, 'a83c35731027-2', '2026-11-23 04:30:51.847885+00');
INSERT INTO orchestrator.run_events VALUES ('92eff9a4-c728-49f5-8944-4e3b8a66d3a0', 3, 1, 'agent_completed', '{"usage": {"model_calls": 1, "prompt_tokens": 6, "completion_tokens": 11}, "output": "A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.", "message": {"id": "974b7922-673a-4685-8efa-5d3a30398a9c", "role": "assistant", "run_id": "92eff9a4-c728-49f5-8944-4e3b8a66d3a0", "content": "A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.", "agent_id": "8d45e956-6bc3-43df-bbb2-d13da9f30e12", "metadata": {}, "timestamp": "2026-11-23T04:30:51.931244+00:00", "session_id": "16c802a4-64eb-4bdf-8fad-d39a5f0fd5ae"}, "task_id": "answer", "agent_id": "8d45e956-6bc3-43df-bbb2-d13da9f30e12", "agent_name": "Helper", "duration_ms": 83}', true, 'a83c35731027-7', '2026-11-23 04:30:51.931244+00');
INSERT INTO orchestrator.run_events VALUES ('c2098bd4-13ff-4edc-9c59-f2be7fa664a0', 1, 1, 'message_received', '{"message": {"id": "163cad59-7ac7-4b85-8e41-6c9d39c5d4f9", "role": "user", "run_id": "c2098bd4-13ff-4edc-9c59-f2be7fa664a0", "content": "Take your time. #model {\"gate\": \"after the upgrade\"}", "agent_id": null, "metadata": {}, "timestamp": "2026-11-23T04:30:52.090209+00:00", "session_id": "16c802a4-64eb-4bdf-8fad-d39a5f0fd5ae"}}', false, 'a83c35731027-16', '2026-11-23 04:30:52.090209+00');
INSERT INTO orchestrator.run_events VALUES ('c2098bd4-13ff-4edc-9c59-f2be7fa664a0', 2, 1, 'agent_started', '{"task_id": "answer", "agent_id": "fd970092-cd0d-4592-b084-7bfe0e07a6ff", "agent_name": "CodeAssistant"}', false, 'a83c35731027-17', '2026-11-23 04:30:52.090209+00');
INSERT INTO orchestrator.run_events VALUES ('f8e4c8aa-c303-4eda-8c28-87d3fcb25738', 1, 0, 'message_received', '{"message": {"id": "e60a83ac-e25a-4ec1-970e-6fe51131a20c", "role": "user", "run_id": "f8e4c8aa-c303-4eda-8c28-87d3fcb25738", "content": "Afterwards.", "agent_id": null, "metadata": {}, "timestamp": "2026-11-23T04:30:52.227199+00:00", "session_id": "16c802a4-64eb-4bdf-8fad-d39a5f0fd5ae"}}', false, 'a83c35731027-21', '2026-11-23 04:30:52.227199+00');
INSERT INTO orchestrator.run_events VALUES ('37de7417-2114-4d5d-8214-544a0f48dfba', 1, 0, 'message_received', '{"message": {"id": "5109d9bd-06a6-4865-beb6-27354fe99de0", "role": "user", "run_id": "37de7417-2114-4d5d-8214-544a0f48dfba", "content": "Never mind.", "agent_id": null, "metadata": {}, "timestamp": "2026-11-23T04:30:52.282223+00:00", "session_id": "16c802a4-64eb-4bdf-8fad-d39a5f0fd5ae"}}', false, 'a83c35731027-22', '2026-11-23 04:30:52.282223+00');
INSERT INTO orchestrator.run_tasks VALUES ('a26f201c-3f84-4ffc-971a-3d568cdf6929', 'answer', 0, 'a8cd50e9-c5d6-41c3-9bb7-bd6fcc11a2d6', 'Helper', 'Who are you? 𝄞', 'Who are you? 𝄞', '[]', 'succeeded', 1, 1, 'A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.', NULL, NULL, 6, 11, 1, '2026-11-23 04:30:50.749562+00', '2026-11-23 04:30:50.852422+00');
INSERT INTO orchestrator.run_tasks VALUES ('72a14573-c7fc-411d-bce2-9d5e99d17afd', 'answer', 0, 'c7b6555e-1a6a-4f38-bfa4-44f6723090a3', 'CodeAssistant', 'Fail. #model {"status": 400}', 'Fail. #model {"status": 400}', '[]', 'failed', 1, 1, NULL, 'MODEL_REFUSED', 'the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config', 0, 0, 0, '2026-11-23 04:30:50.8821+00', '2026-11-23 04:30:50.915124+00');
INSERT INTO orchestrator.run_tasks VALUES ('15f762d5-9918-4e22-89f0-6630d4b2f3e2', 'answer', 0, 'c7b6555e-1a6a-4f38-bfa4-44f6723090a3', 'CodeAssistant', 'Take your time. #model {"gate": "after the upgrade"}', 'Take your time. #model {"gate": "after the upgrade"}', '[]', 'running', 1, 1, NULL, NULL, NULL, 0, 0, 0, '2026-11-23 04:30:50.932546+00', NULL);
INSERT INTO orchestrator.run_tasks VALUES ('4aa9b052-7b91-4c8b-ac73-004b733cecf1', 'answer', 0, 'c7b6555e-1a6a-4f38-bfa4-44f6723090a3', 'CodeAssistant', 'Afterwards.', 'Afterwards.', '[]', 'pending', 0, 0, NULL, NULL, NULL, 0, 0, 0, NULL, NULL);
INSERT INTO orchestrator.run_tasks VALUES ('1fc1299a-92b5-409f-ab28-097ca232cdf7', 'answer', 0, 'c7b6555e-1a6a-4f38-bfa4-44f6723090a3', 'CodeAssistant', 'Never mind.', 'Never mind.', '[]', 'cancelled', 0, 0, NULL, NULL, NULL, 0, 0, 0, NULL, '2026-11-23 04:30:51.018551+00');
INSERT INTO orchestrator.run_tasks VALUES ('92eff9a4-c728-49f5-8944-4e3b8a66d3a0', 'answer', 0, '8d45e956-6bc3-43df-bbb2-d13da9f30e12', 'Helper', 'Who are you? 𝄞', 'Who are you? 𝄞', '[]', 'succeeded', 1, 1, 'A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.', NULL, NULL, 6, 11, 1, '2026-11-23 04:30:51.847885+00', '2026-11-23 04:30:51.931244+00');
INSERT INTO orchestrator.run_tasks VALUES ('44942268-895e-45ed-91f5-f346bb506214', 'answer', 0, 'fd970092-cd0d-4592-b084-7bfe0e07a6ff', 'CodeAssistant', 'Fail. #model {"status": 400}', 'Fail. #model {"status": 400}', '[]', 'failed', 1, 1, NULL, 'MODEL_REFUSED', 'the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config', 0, 0, 0, '2026-11-23 04:30:51.973429+00', '2026-11-23 04:30:52.025833+00');
INSERT INTO orchestrator.run_tasks VALUES ('c2098bd4-13ff-4edc-9c59-f2be7fa664a0', 'answer', 0, 'fd970092-cd0d-4592-b084-7bfe0e07a6ff', 'CodeAssistant', 'Take your time. #model {"gate": "after the upgrade"}', 'Take your time. #model {"gate": "after the upgrade"}', '[]', 'running', 1, 1, NULL, NULL, NULL, 0, 0, 0, '2026-11-23 04:30:52.090209+00', NULL);
INSERT INTO orchestrator.run_tasks VALUES ('f8e4c8aa-c303-4eda-8c28-87d3fcb25738', 'answer', 0, 'fd970092-cd0d-4592-b084-7bfe0e07a6ff', 'CodeAssistant', 'Afterwards.', 'Afterwards.', '[]', 'pending', 0, 0, NULL, NULL, NULL, 0, 0, 0, NULL, NULL);
INSERT INTO orchestrator.run_tasks VALUES ('37de7417-2114-4d5d-8214-544a0f48dfba', 'answer', 0, 'fd970092-cd0d-4592-b084-7bfe0e07a6ff', 'CodeAssistant', 'Never mind.', 'Never mind.', '[]', 'cancelled', 0, 0, NULL, NULL, NULL, 0, 0, 0, NULL, '2026-11-23 04:30:52.316992+00');
INSERT INTO orchestrator.runs VALUES ('a26f201c-3f84-4ffc-971a-3d568cdf6929', 'd2938027-1486-4588-8693-f4bfbebe84fb', '798faeff-79cc-4eb2-80f7-27b8ae6e20c4', 'a1111111-1111-4111-8111-111111111111', 'direct', 'succeeded', 0, '26b13b12-719c-429d-ba0e-a83a0145c314', true, NULL, NULL, NULL, NULL, 6, 11, 1, NULL, 1, 1795408255.856734, 0, 3, '83791a6b8cb5-7', '2026-11-23 04:30:50.749562+00', '2026-11-23 04:30:50.749562+00', '2026-11-23 04:30:50.852422+00');
INSERT INTO orchestrator.runs VALUES ('72a14573-c7fc-411d-bce2-9d5e99d17afd', 'd2938027-1486-4588-8693-f4bfbebe84fb', '798faeff-79cc-4eb2-80f7-27b8ae6e20c4', 'a1111111-1111-4111-8111-111111111111', 'direct', 'failed', 1, 'c300ff6e-703d-4c7e-8e18-10b64a8a767f', false, NULL, 'MODEL_REFUSED', 'the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config', NULL, 0, 0, 0, NULL, 1, 1795408255.918186, 0, 4, '83791a6b8cb5-15', '2026-11-23 04:30:50.8821+00', '2026-11-23 04:30:50.8821+00', '2026-11-23 04:30:50.915124+00');
INSERT INTO orchestrator.runs VALUES ('4aa9b052-7b91-4c8b-ac73-004b733cecf1', 'd2938027-1486-4588-8693-f4bfbebe84fb', '798faeff-79cc-4eb2-80f7-27b8ae6e20c4', 'a1111111-1111-4111-8111-111111111111', 'direct', 'queued', 3, '27a9c0b0-28fc-4bf2-bd5c-3bbf3a4bbe1b', false, NULL, NULL, NULL, NULL, 0, 0, 0, NULL, 0, 1795408255.991195, 0, 1, '83791a6b8cb5-21', '2026-11-23 04:30:50.98938+00', NULL, NULL);
INSERT INTO orchestrator.runs VALUES ('1fc1299a-92b5-409f-ab28-097ca232cdf7', 'd2938027-1486-4588-8693-f4bfbebe84fb', '798faeff-79cc-4eb2-80f7-27b8ae6e20c4', 'a1111111-1111-4111-8111-111111111111', 'direct', 'cancelled', 4, '559476ca-abd1-408c-9cb0-356049c48973', false, NULL, NULL, NULL, NULL, 0, 0, 0, NULL, 1, 1795408256.011593, 0, 2, '83791a6b8cb5-23', '2026-11-23 04:30:51.009982+00', NULL, '2026-11-23 04:30:51.018551+00');
INSERT INTO orchestrator.runs VALUES ('92eff9a4-c728-49f5-8944-4e3b8a66d3a0', '16c802a4-64eb-4bdf-8fad-d39a5f0fd5ae', 'b72870ad-baf9-421d-b8cf-9372d47d70f2', 'b2222222-2222-4222-8222-222222222222', 'direct', 'succeeded', 0, '974b7922-673a-4685-8efa-5d3a30398a9c', true, NULL, NULL, NULL, NULL, 6, 11, 1, NULL, 1, 1795408256.948103, 0, 3, 'a83c35731027-7', '2026-11-23 04:30:51.847885+00', '2026-11-23 04:30:51.847885+00', '2026-11-23 04:30:51.931244+00');
INSERT INTO orchestrator.runs VALUES ('44942268-895e-45ed-91f5-f346bb506214', '16c802a4-64eb-4bdf-8fad-d39a5f0fd5ae', 'b72870ad-baf9-421d-b8cf-9372d47d70f2', 'b2222222-2222-4222-8222-222222222222', 'direct', 'failed', 1, 'd44b71ef-f74a-4d99-9265-3c75e32d396a', false, NULL, 'MODEL_REFUSED', 'the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config', NULL, 0, 0, 0, NULL, 1, 1795408257.037241, 0, 4, 'a83c35731027-15', '2026-11-23 04:30:51.973429+00', '2026-11-23 04:30:51.973429+00', '2026-11-23 04:30:52.025833+00');
INSERT INTO orchestrator.runs VALUES ('f8e4c8aa-c303-4eda-8c28-87d3fcb25738', '16c802a4-64eb-4bdf-8fad-d39a5f0fd5ae', 'b72870ad-baf9-421d-b8cf-9372d47d70f2', 'b2222222-2222-4222-8222-222222222222', 'direct', 'queued', 3, '1314fb5f-bf76-46a5-8d52-f9fad9f83274', false, NULL, NULL, NULL, NULL, 0, 0, 0, NULL, 0, 1795408257.242081, 0, 1, 'a83c35731027-21', '2026-11-23 04:30:52.227199+00', NULL, NULL);
INSERT INTO orchestrator.runs VALUES ('37de7417-2114-4d5d-8214-544a0f48dfba', '16c802a4-64eb-4bdf-8fad-d39a5f0fd5ae', 'b72870ad-baf9-421d-b8cf-9372d47d70f2', 'b2222222-2222-4222-8222-222222222222', 'direct', 'cancelled', 4, 'a027d867-34f4-44b7-8fa3-ded98376c5d1', false, NULL, NULL, NULL, NULL, 0, 0, 0, NULL, 1, 1795408257.292582, 0, 2, 'a83c35731027-23', '2026-11-23 04:30:52.282223+00', NULL, '2026-11-23 04:30:52.316992+00');
INSERT INTO orchestrator.runs VALUES ('15f762d5-9918-4e22-89f0-6630d4b2f3e2', 'd2938027-1486-4588-8693-f4bfbebe84fb', '798faeff-79cc-4eb2-80f7-27b8ae6e20c4', 'a1111111-1111-4111-8111-111111111111', 'direct', 'running', 2, '0c684b21-201c-4b81-ba63-574a14b155bf', false, NULL, NULL, NULL, NULL, 0, 0, 0, 'b001fcaa-075b-4440-8638-651e30dffcd2', 1, 1795408258.549579, 0, 2, '83791a6b8cb5-17', '2026-11-23 04:30:50.932546+00', '2026-11-23 04:30:50.932546+00', NULL);
INSERT INTO orchestrator.runs VALUES ('c2098bd4-13ff-4edc-9c59-f2be7fa664a0', '16c802a4-64eb-4bdf-8fad-d39a5f0fd5ae', 'b72870ad-baf9-421d-b8cf-9372d47d70f2', 'b2222222-2222-4222-8222-222222222222', 'direct', 'running', 2, 'd52214ce-826c-4bb5-9842-33da932a70ec', false, NULL, NULL, NULL, NULL, 0, 0, 0, 'b001fcaa-075b-4440-8638-651e30dffcd2', 1, 1795408258.549632, 0, 2, 'a83c35731027-17', '2026-11-23 04:30:52.090209+00', '2026-11-23 04:30:52.090209+00', NULL);
INSERT INTO projects.alembic_version VALUES ('0001');
INSERT INTO projects.idempotency_keys VALUES ('a1111111-1111-4111-8111-111111111111', 'CreateProject', 'kept-over-the-upgrade', '83920925a7fa6d08fd73111768736c56f0fa5ac2ffcc87826db747a399176a56', '798faeff-79cc-4eb2-80f7-27b8ae6e20c4', '2026-11-23 04:30:50.252765+00');
INSERT INTO projects.idempotency_keys VALUES ('b2222222-2222-4222-8222-222222222222', 'CreateProject', 'kept-over-the-upgrade', '83920925a7fa6d08fd73111768736c56f0fa5ac2ffcc87826db747a399176a56', 'b72870ad-baf9-421d-b8cf-9372d47d70f2', '2026-11-23 04:30:51.754692+00');
INSERT INTO projects.user_projects VALUES ('798faeff-79cc-4eb2-80f7-27b8ae6e20c4', 'a1111111-1111-4111-8111-111111111111', 'Lab', NULL, 'active', '2026-11-23 04:30:50.252765+00', '2026-11-23 04:30:50.252765+00', NULL, 0);
INSERT INTO projects.user_projects VALUES ('b72870ad-baf9-421d-b8cf-9372d47d70f2', 'b2222222-2222-4222-8222-222222222222', 'Lab', NULL, 'active', '2026-11-23 04:30:51.754692+00', '2026-11-23 04:30:51.754692+00', NULL, 0);
INSERT INTO projects.users VALUES ('a1111111-1111-4111-8111-111111111111', NULL, '2026-11-23 04:30:50.232716+00');
INSERT INTO projects.users VALUES ('b2222222-2222-4222-8222-222222222222', NULL, '2026-11-23 04:30:51.749805+00');
ALTER TABLE ONLY agents.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY agents.executions
    ADD CONSTRAINT executions_pkey PRIMARY KEY (project_id, user_id, run_id, task_id);
ALTER TABLE ONLY agents.idempotency_keys
    ADD CONSTRAINT idempotency_keys_pkey PRIMARY KEY (user_id, scope, request_id);
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
