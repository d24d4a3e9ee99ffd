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
    asked_at integer NOT NULL,
    plan_origin character varying(20),
    plan_problems jsonb NOT NULL,
    planning_seconds double precision,
    idle_since double precision,
    idle_seconds double precision NOT NULL
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
INSERT INTO agents.executions VALUES ('3ed978ef-6100-48c5-be34-f154a5589b65', 'a1111111-1111-4111-8111-111111111111', 'd7fe1ab4-17a0-4185-81c2-a5b161238b27', 'answer', 1, 1, '2026-11-27 11:32:18.068801+00');
INSERT INTO agents.executions VALUES ('3ed978ef-6100-48c5-be34-f154a5589b65', 'a1111111-1111-4111-8111-111111111111', '238129a7-1b1d-4339-84a3-8a6e7e499f6b', 'answer', 1, 1, '2026-11-27 11:32:18.310252+00');
INSERT INTO agents.executions VALUES ('3ed978ef-6100-48c5-be34-f154a5589b65', 'a1111111-1111-4111-8111-111111111111', 'ae0a92b8-f3d7-4b59-83e2-aebcb377c780', 'answer', 1, 1, '2026-11-27 11:32:18.367882+00');
INSERT INTO agents.executions VALUES ('5e1bcf97-82f2-41bc-b604-6240dd4e6f11', 'b2222222-2222-4222-8222-222222222222', '3586188b-7754-4cc0-81b9-c46a0e3eaf41', 'answer', 1, 1, '2026-11-27 11:32:18.943394+00');
INSERT INTO agents.executions VALUES ('5e1bcf97-82f2-41bc-b604-6240dd4e6f11', 'b2222222-2222-4222-8222-222222222222', 'ac57177a-55c9-4adc-b10d-7a36661d58ce', 'answer', 1, 1, '2026-11-27 11:32:19.020431+00');
INSERT INTO agents.executions VALUES ('5e1bcf97-82f2-41bc-b604-6240dd4e6f11', 'b2222222-2222-4222-8222-222222222222', '6ff034c8-0598-47d3-a1e3-8d130814c38c', 'answer', 1, 1, '2026-11-27 11:32:19.067867+00');
INSERT INTO agents.memory_collections VALUES ('00543ddc-69da-41b2-8f8c-e905d200186b', '3ed978ef-6100-48c5-be34-f154a5589b65', 'a1111111-1111-4111-8111-111111111111', 'minilm', 384, NULL);
INSERT INTO agents.memory_collections VALUES ('de839e4e-ba8c-4256-8e87-7775fca670f4', '5e1bcf97-82f2-41bc-b604-6240dd4e6f11', 'b2222222-2222-4222-8222-222222222222', 'minilm', 384, NULL);
INSERT INTO agents.user_agents VALUES ('4c3ebb94-d96f-4b51-9bc6-1aa945e6f108', '3ed978ef-6100-48c5-be34-f154a5589b65', 'a1111111-1111-4111-8111-111111111111', 'CodeAssistant', 'ready', '{"model": "", "tools": [], "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}, "max_tokens": 4096, "burst_limit": null, "temperature": 0.2, "system_prompt": "You are CodeAssistant, a senior software engineer who works with the user on their code.\n\n- Answer the question that was asked, then stop. Show code first and explain only what is not obvious from it.\n- Write code that runs as it stands: complete imports, no placeholders, in the language, style and versions of the user''s project. If these are unknown and matter, say what you assume.\n- When something is broken, find the cause before you propose a change; say how you know it and how to verify the fix.\n- Point out bugs, security holes and lost data that you notice on the way, in one line each. Do not rewrite what was not asked for.\n- Prefer the standard library and what the project already uses to a new dependency.\n- Put code in fenced blocks with the language''s name. Say plainly when you are not sure, and never invent an API.\n", "concurrency_limit": 2}', 1, '2026-11-27 11:32:17.87147+00', '2026-11-27 11:32:17.87147+00');
INSERT INTO agents.user_agents VALUES ('48fc107d-638e-4657-9074-5264fc4a9734', '3ed978ef-6100-48c5-be34-f154a5589b65', 'a1111111-1111-4111-8111-111111111111', 'DataAnalyst', 'ready', '{"model": "", "tools": [], "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}, "max_tokens": 4096, "burst_limit": null, "temperature": 0.2, "system_prompt": "You are DataAnalyst, an analyst who turns data into answers that hold.\n\n- Begin with the answer in a sentence or two, with the numbers that carry it; then show how you got there.\n- State what the data is, how much of it there is, what is missing from it and what you assumed. Check for duplicates, gaps, outliers and mixed units before you calculate.\n- Tell correlation from causation and signal from noise: give sample sizes and, where they matter, intervals.\n- Show calculations so that they can be repeated: SQL or Python (pandas unless told otherwise) that runs as it stands.\n- Use tables for comparisons, name units and periods, and round to what the data supports. When a chart says it better, give the code that draws it.\n- Never make up data. If the question cannot be answered from what is there, say what is needed.\n", "concurrency_limit": 2}', 1, '2026-11-27 11:32:17.871469+00', '2026-11-27 11:32:17.871469+00');
INSERT INTO agents.user_agents VALUES ('92700b11-22e9-4dac-9292-2616207283f8', '3ed978ef-6100-48c5-be34-f154a5589b65', 'a1111111-1111-4111-8111-111111111111', 'DocumentWriter', 'ready', '{"model": "", "tools": [], "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}, "max_tokens": 4096, "burst_limit": null, "temperature": 0.7, "system_prompt": "You are DocumentWriter, a technical writer who makes things clear to the people who must use them.\n\n- Find out, or state your assumption, who reads the text and what they want to do with it; write for that.\n- Lead with what the reader needs most. One idea a paragraph, short sentences, active voice, concrete words.\n- Use headings that say something, lists for steps and for what is enumerated, examples for what is abstract.\n- Keep terms the same throughout, and keep the user''s voice and facts when you edit; say what you changed if it alters the meaning.\n- Write Markdown unless asked for another format. Deliver the text itself, without remarks about it before or after.\n- Never invent facts, names, figures or quotations: mark each gap as [to be filled: what is missing].\n", "concurrency_limit": 2}', 1, '2026-11-27 11:32:17.871468+00', '2026-11-27 11:32:17.871468+00');
INSERT INTO agents.user_agents VALUES ('00543ddc-69da-41b2-8f8c-e905d200186b', '3ed978ef-6100-48c5-be34-f154a5589b65', 'a1111111-1111-4111-8111-111111111111', 'Helper', 'ready', '{"model": "", "tools": ["search"], "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {"team": ["a", null, 1.5]}, "max_tokens": 4096, "burst_limit": null, "temperature": 0.25, "system_prompt": "Bréf. 𝄞", "concurrency_limit": 2}', 1, '2026-11-27 11:32:17.969375+00', '2026-11-27 11:32:17.969375+00');
INSERT INTO agents.user_agents VALUES ('d6bb1732-a509-492d-ad56-de4e6760b9b1', '5e1bcf97-82f2-41bc-b604-6240dd4e6f11', 'b2222222-2222-4222-8222-222222222222', 'CodeAssistant', 'ready', '{"model": "", "tools": [], "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}, "max_tokens": 4096, "burst_limit": null, "temperature": 0.2, "system_prompt": "You are CodeAssistant, a senior software engineer who works with the user on their code.\n\n- Answer the question that was asked, then stop. Show code first and explain only what is not obvious from it.\n- Write code that runs as it stands: complete imports, no placeholders, in the language, style and versions of the user''s project. If these are unknown and matter, say what you assume.\n- When something is broken, find the cause before you propose a change; say how you know it and how to verify the fix.\n- Point out bugs, security holes and lost data that you notice on the way, in one line each. Do not rewrite what was not asked for.\n- Prefer the standard library and what the project already uses to a new dependency.\n- Put code in fenced blocks with the language''s name. Say plainly when you are not sure, and never invent an API.\n", "concurrency_limit": 2}', 1, '2026-11-27 11:32:18.881924+00', '2026-11-27 11:32:18.881924+00');
INSERT INTO agents.user_agents VALUES ('378d5f62-342a-4bf7-81b7-8cf9523e0013', '5e1bcf97-82f2-41bc-b604-6240dd4e6f11', 'b2222222-2222-4222-8222-222222222222', 'DataAnalyst', 'ready', '{"model": "", "tools": [], "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}, "max_tokens": 4096, "burst_limit": null, "temperature": 0.2, "system_prompt": "You are DataAnalyst, an analyst who turns data into answers that hold.\n\n- Begin with the answer in a sentence or two, with the numbers that carry it; then show how you got there.\n- State what the data is, how much of it there is, what is missing from it and what you assumed. Check for duplicates, gaps, outliers and mixed units before you calculate.\n- Tell correlation from causation and signal from noise: give sample sizes and, where they matter, intervals.\n- Show calculations so that they can be repeated: SQL or Python (pandas unless told otherwise) that runs as it stands.\n- Use tables for comparisons, name units and periods, and round to what the data supports. When a chart says it better, give the code that draws it.\n- Never make up data. If the question cannot be answered from what is there, say what is needed.\n", "concurrency_limit": 2}', 1, '2026-11-27 11:32:18.881923+00', '2026-11-27 11:32:18.881923+00');
INSERT INTO agents.user_agents VALUES ('dde05e9d-2c88-4bc5-99bd-1639ae4de5c1', '5e1bcf97-82f2-41bc-b604-6240dd4e6f11', 'b2222222-2222-4222-8222-222222222222', 'DocumentWriter', 'ready', '{"model": "", "tools": [], "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {}, "max_tokens": 4096, "burst_limit": null, "temperature": 0.7, "system_prompt": "You are DocumentWriter, a technical writer who makes things clear to the people who must use them.\n\n- Find out, or state your assumption, who reads the text and what they want to do with it; write for that.\n- Lead with what the reader needs most. One idea a paragraph, short sentences, active voice, concrete words.\n- Use headings that say something, lists for steps and for what is enumerated, examples for what is abstract.\n- Keep terms the same throughout, and keep the user''s voice and facts when you edit; say what you changed if it alters the meaning.\n- Write Markdown unless asked for another format. Deliver the text itself, without remarks about it before or after.\n- Never invent facts, names, figures or quotations: mark each gap as [to be filled: what is missing].\n", "concurrency_limit": 2}', 1, '2026-11-27 11:32:18.881922+00', '2026-11-27 11:32:18.881922+00');
INSERT INTO agents.user_agents VALUES ('de839e4e-ba8c-4256-8e87-7775fca670f4', '5e1bcf97-82f2-41bc-b604-6240dd4e6f11', 'b2222222-2222-4222-8222-222222222222', 'Helper', 'ready', '{"model": "", "tools": ["search"], "memory": {"top_k": 5, "min_score": 0.0}, "metadata": {"team": ["a", null, 1.5]}, "max_tokens": 4096, "burst_limit": null, "temperature": 0.25, "system_prompt": "Bréf. 𝄞", "concurrency_limit": 2}', 1, '2026-11-27 11:32:18.906313+00', '2026-11-27 11:32:18.906313+00');
INSERT INTO agents.worker_spaces VALUES ('a6f1b58c-628f-44c4-89ec-e0a8281a854b', 'a1111111-1111-4111-8111-111111111111', 'deleted', '2026-11-27 11:32:18.005116+00');
INSERT INTO agents.worker_spaces VALUES ('3ed978ef-6100-48c5-be34-f154a5589b65', 'a1111111-1111-4111-8111-111111111111', 'active', '2026-11-27 11:32:17.87147+00');
INSERT INTO agents.worker_spaces VALUES ('30accb63-5f1e-417b-a4a7-4ff60293e011', 'b2222222-2222-4222-8222-222222222222', 'deleted', '2026-11-27 11:32:18.920892+00');
INSERT INTO agents.worker_spaces VALUES ('5e1bcf97-82f2-41bc-b604-6240dd4e6f11', 'b2222222-2222-4222-8222-222222222222', 'active', '2026-11-27 11:32:18.881924+00');
INSERT INTO orchestrator.alembic_version VALUES ('0004');
INSERT INTO orchestrator.chat_sessions VALUES ('56d0e4a8-b88a-4888-99f7-ca0610d14d7d', '3ed978ef-6100-48c5-be34-f154a5589b65', 'a1111111-1111-4111-8111-111111111111', NULL, 0, 0, NULL, false, '2026-11-27 11:32:18.452865+00', '2026-11-27 11:32:18.452865+00');
INSERT INTO orchestrator.chat_sessions VALUES ('323ff0a0-a1d4-4640-8014-73b019355ca0', '3ed978ef-6100-48c5-be34-f154a5589b65', 'a1111111-1111-4111-8111-111111111111', NULL, 6, 5, '1ecb38166fcd-23', false, '2026-11-27 11:32:17.997729+00', '2026-11-27 11:32:18.433591+00');
INSERT INTO orchestrator.chat_sessions VALUES ('5cf547e5-c381-457a-af78-602ca8723ab4', '5e1bcf97-82f2-41bc-b604-6240dd4e6f11', 'b2222222-2222-4222-8222-222222222222', NULL, 0, 0, NULL, false, '2026-11-27 11:32:19.129044+00', '2026-11-27 11:32:19.129044+00');
INSERT INTO orchestrator.chat_sessions VALUES ('c2b59f70-f6c3-4827-a506-be5643e52eea', '5e1bcf97-82f2-41bc-b604-6240dd4e6f11', 'b2222222-2222-4222-8222-222222222222', NULL, 6, 5, '96975cff35bd-23', false, '2026-11-27 11:32:18.91522+00', '2026-11-27 11:32:19.118109+00');
INSERT INTO orchestrator.messages VALUES ('36efe1ab-6974-4f3d-9121-c5af1e1c67e9', '323ff0a0-a1d4-4640-8014-73b019355ca0', 'a1111111-1111-4111-8111-111111111111', 'd7fe1ab4-17a0-4185-81c2-a5b161238b27', NULL, 'user', 'Who are you? 𝄞', 0, '2026-11-27 11:32:18.026378+00', '{}');
INSERT INTO orchestrator.messages VALUES ('486a04bb-092e-4f7d-914e-356c5cf11a71', '323ff0a0-a1d4-4640-8014-73b019355ca0', 'a1111111-1111-4111-8111-111111111111', 'd7fe1ab4-17a0-4185-81c2-a5b161238b27', '00543ddc-69da-41b2-8f8c-e905d200186b', 'assistant', 'A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.', 1, '2026-11-27 11:32:18.275979+00', '{}');
INSERT INTO orchestrator.messages VALUES ('69be8ebf-b259-486e-ac5f-c3259148c29c', '323ff0a0-a1d4-4640-8014-73b019355ca0', 'a1111111-1111-4111-8111-111111111111', '238129a7-1b1d-4339-84a3-8a6e7e499f6b', NULL, 'user', 'Fail. #model {"status": 400}', 2, '2026-11-27 11:32:18.301836+00', '{}');
INSERT INTO orchestrator.messages VALUES ('22db26b0-4c34-4a51-9358-77ea7b0d16f5', '323ff0a0-a1d4-4640-8014-73b019355ca0', 'a1111111-1111-4111-8111-111111111111', 'ae0a92b8-f3d7-4b59-83e2-aebcb377c780', NULL, 'user', 'Take your time. #model {"gate": "after the upgrade"}', 4, '2026-11-27 11:32:18.35038+00', '{}');
INSERT INTO orchestrator.messages VALUES ('8bb74d20-cd57-4a2c-bdaf-9a63020d4054', '323ff0a0-a1d4-4640-8014-73b019355ca0', 'a1111111-1111-4111-8111-111111111111', '8b176172-db36-48bd-89ad-bc0284c81092', NULL, 'user', 'Afterwards.', 6, '2026-11-27 11:32:18.391601+00', '{}');
INSERT INTO orchestrator.messages VALUES ('8c0a0b33-9d37-4663-bf0c-1334f083ae01', '323ff0a0-a1d4-4640-8014-73b019355ca0', 'a1111111-1111-4111-8111-111111111111', '43a84b44-4684-405a-8eb0-f53726558688', NULL, 'user', 'Never mind.', 8, '2026-11-27 11:32:18.421598+00', '{}');
INSERT INTO orchestrator.messages VALUES ('81d94279-2712-4301-9a8d-8af32b190a55', 'c2b59f70-f6c3-4827-a506-be5643e52eea', 'b2222222-2222-4222-8222-222222222222', '3586188b-7754-4cc0-81b9-c46a0e3eaf41', NULL, 'user', 'Who are you? 𝄞', 0, '2026-11-27 11:32:18.932836+00', '{}');
INSERT INTO orchestrator.messages VALUES ('c65e2ae1-56cf-412f-b137-32824cefdc86', 'c2b59f70-f6c3-4827-a506-be5643e52eea', 'b2222222-2222-4222-8222-222222222222', '3586188b-7754-4cc0-81b9-c46a0e3eaf41', 'de839e4e-ba8c-4256-8e87-7775fca670f4', 'assistant', 'A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.', 1, '2026-11-27 11:32:18.989588+00', '{}');
INSERT INTO orchestrator.messages VALUES ('d9ac97bb-0c14-4c3a-950f-838b18ed370b', 'c2b59f70-f6c3-4827-a506-be5643e52eea', 'b2222222-2222-4222-8222-222222222222', 'ac57177a-55c9-4adc-b10d-7a36661d58ce', NULL, 'user', 'Fail. #model {"status": 400}', 2, '2026-11-27 11:32:19.009101+00', '{}');
INSERT INTO orchestrator.messages VALUES ('1b989953-956a-40e6-9810-32395d4210e4', 'c2b59f70-f6c3-4827-a506-be5643e52eea', 'b2222222-2222-4222-8222-222222222222', '6ff034c8-0598-47d3-a1e3-8d130814c38c', NULL, 'user', 'Take your time. #model {"gate": "after the upgrade"}', 4, '2026-11-27 11:32:19.057259+00', '{}');
INSERT INTO orchestrator.messages VALUES ('21153cda-60a1-4839-b73b-0ec4fb161250', 'c2b59f70-f6c3-4827-a506-be5643e52eea', 'b2222222-2222-4222-8222-222222222222', '1741569a-2ab2-45fb-960a-0e1d948d7a01', NULL, 'user', 'Afterwards.', 6, '2026-11-27 11:32:19.083734+00', '{}');
INSERT INTO orchestrator.messages VALUES ('ae07f256-ad37-407e-8aac-03ac43a040c4', 'c2b59f70-f6c3-4827-a506-be5643e52eea', 'b2222222-2222-4222-8222-222222222222', 'a868b064-a269-4545-b474-e8f663226919', NULL, 'user', 'Never mind.', 8, '2026-11-27 11:32:19.108753+00', '{}');
INSERT INTO orchestrator.projects VALUES ('a1111111-1111-4111-8111-111111111111', '3ed978ef-6100-48c5-be34-f154a5589b65', false);
INSERT INTO orchestrator.projects VALUES ('a1111111-1111-4111-8111-111111111111', 'a6f1b58c-628f-44c4-89ec-e0a8281a854b', true);
INSERT INTO orchestrator.projects VALUES ('b2222222-2222-4222-8222-222222222222', '5e1bcf97-82f2-41bc-b604-6240dd4e6f11', false);
INSERT INTO orchestrator.projects VALUES ('b2222222-2222-4222-8222-222222222222', '30accb63-5f1e-417b-a4a7-4ff60293e011', true);
INSERT INTO orchestrator.run_events VALUES ('d7fe1ab4-17a0-4185-81c2-a5b161238b27', 1, 1, 'message_received', '{"message": {"id": "36efe1ab-6974-4f3d-9121-c5af1e1c67e9", "role": "user", "run_id": "d7fe1ab4-17a0-4185-81c2-a5b161238b27", "content": "Who are you? 𝄞", "agent_id": null, "metadata": {}, "timestamp": "2026-11-27T11:32:18.026378+00:00", "session_id": "323ff0a0-a1d4-4640-8014-73b019355ca0"}}', false, '1ecb38166fcd-1', '2026-11-27 11:32:18.026378+00', 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_events VALUES ('d7fe1ab4-17a0-4185-81c2-a5b161238b27', 2, 1, 'agent_started', '{"task_id": "answer", "agent_id": "00543ddc-69da-41b2-8f8c-e905d200186b", "agent_name": "Helper"}', false, '1ecb38166fcd-2', '2026-11-27 11:32:18.026378+00', 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_events VALUES ('d7fe1ab4-17a0-4185-81c2-a5b161238b27', 3, 1, 'agent_completed', '{"usage": {"model_calls": 1, "prompt_tokens": 6, "completion_tokens": 11}, "output": "A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.", "message": {"id": "486a04bb-092e-4f7d-914e-356c5cf11a71", "role": "assistant", "run_id": "d7fe1ab4-17a0-4185-81c2-a5b161238b27", "content": "A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.", "agent_id": "00543ddc-69da-41b2-8f8c-e905d200186b", "metadata": {}, "timestamp": "2026-11-27T11:32:18.275979+00:00", "session_id": "323ff0a0-a1d4-4640-8014-73b019355ca0"}, "task_id": "answer", "agent_id": "00543ddc-69da-41b2-8f8c-e905d200186b", "agent_name": "Helper", "duration_ms": 250}', true, '1ecb38166fcd-7', '2026-11-27 11:32:18.275979+00', 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_events VALUES ('238129a7-1b1d-4339-84a3-8a6e7e499f6b', 1, 1, 'message_received', '{"message": {"id": "69be8ebf-b259-486e-ac5f-c3259148c29c", "role": "user", "run_id": "238129a7-1b1d-4339-84a3-8a6e7e499f6b", "content": "Fail. #model {\"status\": 400}", "agent_id": null, "metadata": {}, "timestamp": "2026-11-27T11:32:18.301836+00:00", "session_id": "323ff0a0-a1d4-4640-8014-73b019355ca0"}}', false, '1ecb38166fcd-8', '2026-11-27 11:32:18.301836+00', 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_events VALUES ('238129a7-1b1d-4339-84a3-8a6e7e499f6b', 2, 1, 'agent_started', '{"task_id": "answer", "agent_id": "4c3ebb94-d96f-4b51-9bc6-1aa945e6f108", "agent_name": "CodeAssistant"}', false, '1ecb38166fcd-9', '2026-11-27 11:32:18.301836+00', 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_events VALUES ('238129a7-1b1d-4339-84a3-8a6e7e499f6b', 3, 1, 'agent_failed', '{"error": {"detail": "the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config", "reason": "MODEL_REFUSED"}, "task_id": "answer", "agent_id": "4c3ebb94-d96f-4b51-9bc6-1aa945e6f108"}', false, '1ecb38166fcd-14', '2026-11-27 11:32:18.329425+00', 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_events VALUES ('238129a7-1b1d-4339-84a3-8a6e7e499f6b', 4, 1, 'run_failed', '{"error": {"detail": "the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config", "reason": "MODEL_REFUSED"}, "task_id": "answer", "agent_id": "4c3ebb94-d96f-4b51-9bc6-1aa945e6f108"}', true, '1ecb38166fcd-15', '2026-11-27 11:32:18.329425+00', 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_events VALUES ('ae0a92b8-f3d7-4b59-83e2-aebcb377c780', 1, 1, 'message_received', '{"message": {"id": "22db26b0-4c34-4a51-9358-77ea7b0d16f5", "role": "user", "run_id": "ae0a92b8-f3d7-4b59-83e2-aebcb377c780", "content": "Take your time. #model {\"gate\": \"after the upgrade\"}", "agent_id": null, "metadata": {}, "timestamp": "2026-11-27T11:32:18.350380+00:00", "session_id": "323ff0a0-a1d4-4640-8014-73b019355ca0"}}', false, '1ecb38166fcd-16', '2026-11-27 11:32:18.35038+00', 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_events VALUES ('ae0a92b8-f3d7-4b59-83e2-aebcb377c780', 2, 1, 'agent_started', '{"task_id": "answer", "agent_id": "4c3ebb94-d96f-4b51-9bc6-1aa945e6f108", "agent_name": "CodeAssistant"}', false, '1ecb38166fcd-17', '2026-11-27 11:32:18.35038+00', 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_events VALUES ('8b176172-db36-48bd-89ad-bc0284c81092', 1, 0, 'message_received', '{"message": {"id": "8bb74d20-cd57-4a2c-bdaf-9a63020d4054", "role": "user", "run_id": "8b176172-db36-48bd-89ad-bc0284c81092", "content": "Afterwards.", "agent_id": null, "metadata": {}, "timestamp": "2026-11-27T11:32:18.391601+00:00", "session_id": "323ff0a0-a1d4-4640-8014-73b019355ca0"}}', false, '1ecb38166fcd-19', '2026-11-27 11:32:18.391601+00', 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_events VALUES ('43a84b44-4684-405a-8eb0-f53726558688', 1, 0, 'message_received', '{"message": {"id": "8c0a0b33-9d37-4663-bf0c-1334f083ae01", "role": "user", "run_id": "43a84b44-4684-405a-8eb0-f53726558688", "content": "Never mind.", "agent_id": null, "metadata": {}, "timestamp": "2026-11-27T11:32:18.421598+00:00", "session_id": "323ff0a0-a1d4-4640-8014-73b019355ca0"}}', false, '1ecb38166fcd-22', '2026-11-27 11:32:18.421598+00', 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_events VALUES ('43a84b44-4684-405a-8eb0-f53726558688', 2, 1, 'run_cancelled', '{"reason": "cancelled"}', true, '1ecb38166fcd-23', '2026-11-27 11:32:18.433591+00', 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_events VALUES ('3586188b-7754-4cc0-81b9-c46a0e3eaf41', 3, 1, 'agent_completed', '{"usage": {"model_calls": 1, "prompt_tokens": 6, "completion_tokens": 11}, "output": "A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.", "message": {"id": "c65e2ae1-56cf-412f-b137-32824cefdc86", "role": "assistant", "run_id": "3586188b-7754-4cc0-81b9-c46a0e3eaf41", "content": "A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.", "agent_id": "de839e4e-ba8c-4256-8e87-7775fca670f4", "metadata": {}, "timestamp": "2026-11-27T11:32:18.989588+00:00", "session_id": "c2b59f70-f6c3-4827-a506-be5643e52eea"}, "task_id": "answer", "agent_id": "de839e4e-ba8c-4256-8e87-7775fca670f4", "agent_name": "Helper", "duration_ms": 57}', true, '96975cff35bd-7', '2026-11-27 11:32:18.989588+00', 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_events VALUES ('ac57177a-55c9-4adc-b10d-7a36661d58ce', 1, 1, 'message_received', '{"message": {"id": "d9ac97bb-0c14-4c3a-950f-838b18ed370b", "role": "user", "run_id": "ac57177a-55c9-4adc-b10d-7a36661d58ce", "content": "Fail. #model {\"status\": 400}", "agent_id": null, "metadata": {}, "timestamp": "2026-11-27T11:32:19.009101+00:00", "session_id": "c2b59f70-f6c3-4827-a506-be5643e52eea"}}', false, '96975cff35bd-8', '2026-11-27 11:32:19.009101+00', 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_events VALUES ('ac57177a-55c9-4adc-b10d-7a36661d58ce', 2, 1, 'agent_started', '{"task_id": "answer", "agent_id": "d6bb1732-a509-492d-ad56-de4e6760b9b1", "agent_name": "CodeAssistant"}', false, '96975cff35bd-9', '2026-11-27 11:32:19.009101+00', 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_events VALUES ('1741569a-2ab2-45fb-960a-0e1d948d7a01', 1, 0, 'message_received', '{"message": {"id": "21153cda-60a1-4839-b73b-0ec4fb161250", "role": "user", "run_id": "1741569a-2ab2-45fb-960a-0e1d948d7a01", "content": "Afterwards.", "agent_id": null, "metadata": {}, "timestamp": "2026-11-27T11:32:19.083734+00:00", "session_id": "c2b59f70-f6c3-4827-a506-be5643e52eea"}}', false, '96975cff35bd-19', '2026-11-27 11:32:19.083734+00', 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_events VALUES ('a868b064-a269-4545-b474-e8f663226919', 2, 1, 'run_cancelled', '{"reason": "cancelled"}', true, '96975cff35bd-23', '2026-11-27 11:32:19.118109+00', 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_events VALUES ('3586188b-7754-4cc0-81b9-c46a0e3eaf41', 1, 1, 'message_received', '{"message": {"id": "81d94279-2712-4301-9a8d-8af32b190a55", "role": "user", "run_id": "3586188b-7754-4cc0-81b9-c46a0e3eaf41", "content": "Who are you? 𝄞", "agent_id": null, "metadata": {}, "timestamp": "2026-11-27T11:32:18.932836+00:00", "session_id": "c2b59f70-f6c3-4827-a506-be5643e52eea"}}', false, '96975cff35bd-1', '2026-11-27 11:32:18.932836+00', 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_events VALUES ('3586188b-7754-4cc0-81b9-c46a0e3eaf41', 2, 1, 'agent_started', '{"task_id": "answer", "agent_id": "de839e4e-ba8c-4256-8e87-7775fca670f4", "agent_name": "Helper"}', false, '96975cff35bd-2', '2026-11-27 11:32:18.932836+00', 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_events VALUES ('ac57177a-55c9-4adc-b10d-7a36661d58ce', 3, 1, 'agent_failed', '{"error": {"detail": "the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config", "reason": "MODEL_REFUSED"}, "task_id": "answer", "agent_id": "d6bb1732-a509-492d-ad56-de4e6760b9b1"}', false, '96975cff35bd-14', '2026-11-27 11:32:19.040863+00', 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_events VALUES ('ac57177a-55c9-4adc-b10d-7a36661d58ce', 4, 1, 'run_failed', '{"error": {"detail": "the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config", "reason": "MODEL_REFUSED"}, "task_id": "answer", "agent_id": "d6bb1732-a509-492d-ad56-de4e6760b9b1"}', true, '96975cff35bd-15', '2026-11-27 11:32:19.040863+00', 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_events VALUES ('6ff034c8-0598-47d3-a1e3-8d130814c38c', 1, 1, 'message_received', '{"message": {"id": "1b989953-956a-40e6-9810-32395d4210e4", "role": "user", "run_id": "6ff034c8-0598-47d3-a1e3-8d130814c38c", "content": "Take your time. #model {\"gate\": \"after the upgrade\"}", "agent_id": null, "metadata": {}, "timestamp": "2026-11-27T11:32:19.057259+00:00", "session_id": "c2b59f70-f6c3-4827-a506-be5643e52eea"}}', false, '96975cff35bd-16', '2026-11-27 11:32:19.057259+00', 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_events VALUES ('6ff034c8-0598-47d3-a1e3-8d130814c38c', 2, 1, 'agent_started', '{"task_id": "answer", "agent_id": "d6bb1732-a509-492d-ad56-de4e6760b9b1", "agent_name": "CodeAssistant"}', false, '96975cff35bd-17', '2026-11-27 11:32:19.057259+00', 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_events VALUES ('a868b064-a269-4545-b474-e8f663226919', 1, 0, 'message_received', '{"message": {"id": "ae07f256-ad37-407e-8aac-03ac43a040c4", "role": "user", "run_id": "a868b064-a269-4545-b474-e8f663226919", "content": "Never mind.", "agent_id": null, "metadata": {}, "timestamp": "2026-11-27T11:32:19.108753+00:00", "session_id": "c2b59f70-f6c3-4827-a506-be5643e52eea"}}', false, '96975cff35bd-22', '2026-11-27 11:32:19.108753+00', 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_tasks VALUES ('d7fe1ab4-17a0-4185-81c2-a5b161238b27', 'answer', 0, '00543ddc-69da-41b2-8f8c-e905d200186b', 'Helper', 'Who are you? 𝄞', 'Who are you? 𝄞', '[]', 'succeeded', 1, 'A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.', NULL, NULL, 6, 11, 1, '2026-11-27 11:32:18.026378+00', '2026-11-27 11:32:18.275813+00', 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_tasks VALUES ('238129a7-1b1d-4339-84a3-8a6e7e499f6b', 'answer', 0, '4c3ebb94-d96f-4b51-9bc6-1aa945e6f108', 'CodeAssistant', 'Fail. #model {"status": 400}', 'Fail. #model {"status": 400}', '[]', 'failed', 1, NULL, 'MODEL_REFUSED', 'the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config', 333, 0, 1, '2026-11-27 11:32:18.301836+00', '2026-11-27 11:32:18.329365+00', 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_tasks VALUES ('ae0a92b8-f3d7-4b59-83e2-aebcb377c780', 'answer', 0, '4c3ebb94-d96f-4b51-9bc6-1aa945e6f108', 'CodeAssistant', 'Take your time. #model {"gate": "after the upgrade"}', 'Take your time. #model {"gate": "after the upgrade"}', '[]', 'running', 1, NULL, NULL, NULL, 0, 0, 0, '2026-11-27 11:32:18.35038+00', NULL, 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_tasks VALUES ('8b176172-db36-48bd-89ad-bc0284c81092', 'answer', 0, '4c3ebb94-d96f-4b51-9bc6-1aa945e6f108', 'CodeAssistant', 'Afterwards.', 'Afterwards.', '[]', 'pending', 0, NULL, NULL, NULL, 0, 0, 0, NULL, NULL, 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_tasks VALUES ('43a84b44-4684-405a-8eb0-f53726558688', 'answer', 0, '4c3ebb94-d96f-4b51-9bc6-1aa945e6f108', 'CodeAssistant', 'Never mind.', 'Never mind.', '[]', 'cancelled', 0, NULL, NULL, NULL, 0, 0, 0, NULL, '2026-11-27 11:32:18.433591+00', 'a1111111-1111-4111-8111-111111111111');
INSERT INTO orchestrator.run_tasks VALUES ('3586188b-7754-4cc0-81b9-c46a0e3eaf41', 'answer', 0, 'de839e4e-ba8c-4256-8e87-7775fca670f4', 'Helper', 'Who are you? 𝄞', 'Who are you? 𝄞', '[]', 'succeeded', 1, 'A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.', NULL, NULL, 6, 11, 1, '2026-11-27 11:32:18.932836+00', '2026-11-27 11:32:18.98937+00', 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_tasks VALUES ('ac57177a-55c9-4adc-b10d-7a36661d58ce', 'answer', 0, 'd6bb1732-a509-492d-ad56-de4e6760b9b1', 'CodeAssistant', 'Fail. #model {"status": 400}', 'Fail. #model {"status": 400}', '[]', 'failed', 1, NULL, 'MODEL_REFUSED', 'the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config', 333, 0, 1, '2026-11-27 11:32:19.009101+00', '2026-11-27 11:32:19.040772+00', 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_tasks VALUES ('6ff034c8-0598-47d3-a1e3-8d130814c38c', 'answer', 0, 'd6bb1732-a509-492d-ad56-de4e6760b9b1', 'CodeAssistant', 'Take your time. #model {"gate": "after the upgrade"}', 'Take your time. #model {"gate": "after the upgrade"}', '[]', 'running', 1, NULL, NULL, NULL, 0, 0, 0, '2026-11-27 11:32:19.057259+00', NULL, 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_tasks VALUES ('1741569a-2ab2-45fb-960a-0e1d948d7a01', 'answer', 0, 'd6bb1732-a509-492d-ad56-de4e6760b9b1', 'CodeAssistant', 'Afterwards.', 'Afterwards.', '[]', 'pending', 0, NULL, NULL, NULL, 0, 0, 0, NULL, NULL, 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.run_tasks VALUES ('a868b064-a269-4545-b474-e8f663226919', 'answer', 0, 'd6bb1732-a509-492d-ad56-de4e6760b9b1', 'CodeAssistant', 'Never mind.', 'Never mind.', '[]', 'cancelled', 0, NULL, NULL, NULL, 0, 0, 0, NULL, '2026-11-27 11:32:19.118109+00', 'b2222222-2222-4222-8222-222222222222');
INSERT INTO orchestrator.runs VALUES ('d7fe1ab4-17a0-4185-81c2-a5b161238b27', '323ff0a0-a1d4-4640-8014-73b019355ca0', '3ed978ef-6100-48c5-be34-f154a5589b65', 'a1111111-1111-4111-8111-111111111111', 'direct', 'succeeded', 0, '486a04bb-092e-4f7d-914e-356c5cf11a71', true, NULL, NULL, NULL, NULL, 6, 11, 1, NULL, 1, 1795779143.281, 0, 3, '1ecb38166fcd-7', '2026-11-27 11:32:18.026378+00', '2026-11-27 11:32:18.026378+00', '2026-11-27 11:32:18.275979+00', 0, NULL, '[]', NULL, NULL, 0);
INSERT INTO orchestrator.runs VALUES ('238129a7-1b1d-4339-84a3-8a6e7e499f6b', '323ff0a0-a1d4-4640-8014-73b019355ca0', '3ed978ef-6100-48c5-be34-f154a5589b65', 'a1111111-1111-4111-8111-111111111111', 'direct', 'failed', 1, 'b8c6f24a-f79b-4808-add9-20fd0ceeb90a', false, NULL, 'MODEL_REFUSED', 'the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config', NULL, 333, 0, 1, NULL, 1, 1795779143.332443, 0, 4, '1ecb38166fcd-15', '2026-11-27 11:32:18.301836+00', '2026-11-27 11:32:18.301836+00', '2026-11-27 11:32:18.329425+00', 1, NULL, '[]', NULL, NULL, 0);
INSERT INTO orchestrator.runs VALUES ('8b176172-db36-48bd-89ad-bc0284c81092', '323ff0a0-a1d4-4640-8014-73b019355ca0', '3ed978ef-6100-48c5-be34-f154a5589b65', 'a1111111-1111-4111-8111-111111111111', 'direct', 'queued', 3, '14501073-ea3e-433d-8663-8adf01a9fa34', false, NULL, NULL, NULL, NULL, 0, 0, 0, NULL, 0, 1795779143.395957, 0, 1, '1ecb38166fcd-19', '2026-11-27 11:32:18.391601+00', NULL, NULL, 3, NULL, '[]', NULL, NULL, 0);
INSERT INTO orchestrator.runs VALUES ('43a84b44-4684-405a-8eb0-f53726558688', '323ff0a0-a1d4-4640-8014-73b019355ca0', '3ed978ef-6100-48c5-be34-f154a5589b65', 'a1111111-1111-4111-8111-111111111111', 'direct', 'cancelled', 4, 'e8b05ef5-4336-4933-bbae-1a11d8642edd', false, NULL, NULL, NULL, NULL, 0, 0, 0, NULL, 1, 1795779143.425251, 0, 2, '1ecb38166fcd-23', '2026-11-27 11:32:18.421598+00', NULL, '2026-11-27 11:32:18.433591+00', 4, NULL, '[]', NULL, NULL, 0);
INSERT INTO orchestrator.runs VALUES ('ae0a92b8-f3d7-4b59-83e2-aebcb377c780', '323ff0a0-a1d4-4640-8014-73b019355ca0', '3ed978ef-6100-48c5-be34-f154a5589b65', 'a1111111-1111-4111-8111-111111111111', 'direct', 'running', 2, '87157f8d-8803-4508-bbd8-7807329066c9', false, NULL, NULL, NULL, NULL, 0, 0, 0, '78aa35b9-2a29-4e46-8aee-2c8610d80a9c', 1, 1795779143.934684, 0, 2, '1ecb38166fcd-17', '2026-11-27 11:32:18.35038+00', '2026-11-27 11:32:18.35038+00', NULL, 2, NULL, '[]', NULL, NULL, 0);
INSERT INTO orchestrator.runs VALUES ('3586188b-7754-4cc0-81b9-c46a0e3eaf41', 'c2b59f70-f6c3-4827-a506-be5643e52eea', '5e1bcf97-82f2-41bc-b604-6240dd4e6f11', 'b2222222-2222-4222-8222-222222222222', 'direct', 'succeeded', 0, 'c65e2ae1-56cf-412f-b137-32824cefdc86', true, NULL, NULL, NULL, NULL, 6, 11, 1, NULL, 1, 1795779143.991611, 0, 3, '96975cff35bd-7', '2026-11-27 11:32:18.932836+00', '2026-11-27 11:32:18.932836+00', '2026-11-27 11:32:18.989588+00', 0, NULL, '[]', NULL, NULL, 0);
INSERT INTO orchestrator.runs VALUES ('ac57177a-55c9-4adc-b10d-7a36661d58ce', 'c2b59f70-f6c3-4827-a506-be5643e52eea', '5e1bcf97-82f2-41bc-b604-6240dd4e6f11', 'b2222222-2222-4222-8222-222222222222', 'direct', 'failed', 1, 'deb563db-7758-49a2-bd56-49c8aa58dc3d', false, NULL, 'MODEL_REFUSED', 'the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config', NULL, 333, 0, 1, NULL, 1, 1795779144.042648, 0, 4, '96975cff35bd-15', '2026-11-27 11:32:19.009101+00', '2026-11-27 11:32:19.009101+00', '2026-11-27 11:32:19.040863+00', 1, NULL, '[]', NULL, NULL, 0);
INSERT INTO orchestrator.runs VALUES ('6ff034c8-0598-47d3-a1e3-8d130814c38c', 'c2b59f70-f6c3-4827-a506-be5643e52eea', '5e1bcf97-82f2-41bc-b604-6240dd4e6f11', 'b2222222-2222-4222-8222-222222222222', 'direct', 'running', 2, '09e0f659-3892-4c4b-925b-3f2339ae8717', false, NULL, NULL, NULL, NULL, 0, 0, 0, '78aa35b9-2a29-4e46-8aee-2c8610d80a9c', 1, 1795779144.060376, 0, 2, '96975cff35bd-17', '2026-11-27 11:32:19.057259+00', '2026-11-27 11:32:19.057259+00', NULL, 2, NULL, '[]', NULL, NULL, 0);
INSERT INTO orchestrator.runs VALUES ('1741569a-2ab2-45fb-960a-0e1d948d7a01', 'c2b59f70-f6c3-4827-a506-be5643e52eea', '5e1bcf97-82f2-41bc-b604-6240dd4e6f11', 'b2222222-2222-4222-8222-222222222222', 'direct', 'queued', 3, '1d875015-5488-475a-a449-54498030891d', false, NULL, NULL, NULL, NULL, 0, 0, 0, NULL, 0, 1795779144.087766, 0, 1, '96975cff35bd-19', '2026-11-27 11:32:19.083734+00', NULL, NULL, 3, NULL, '[]', NULL, NULL, 0);
INSERT INTO orchestrator.runs VALUES ('a868b064-a269-4545-b474-e8f663226919', 'c2b59f70-f6c3-4827-a506-be5643e52eea', '5e1bcf97-82f2-41bc-b604-6240dd4e6f11', 'b2222222-2222-4222-8222-222222222222', 'direct', 'cancelled', 4, '53ff52ef-ce8f-40cc-86ed-79710eb9fc27', false, NULL, NULL, NULL, NULL, 0, 0, 0, NULL, 1, 1795779144.111199, 0, 2, '96975cff35bd-23', '2026-11-27 11:32:19.108753+00', NULL, '2026-11-27 11:32:19.118109+00', 4, NULL, '[]', NULL, NULL, 0);
INSERT INTO projects.alembic_version VALUES ('0001');
INSERT INTO projects.idempotency_keys VALUES ('a1111111-1111-4111-8111-111111111111', 'CreateProject', 'kept-over-the-upgrade', '83920925a7fa6d08fd73111768736c56f0fa5ac2ffcc87826db747a399176a56', '3ed978ef-6100-48c5-be34-f154a5589b65', '2026-11-27 11:32:17.822387+00');
INSERT INTO projects.idempotency_keys VALUES ('b2222222-2222-4222-8222-222222222222', 'CreateProject', 'kept-over-the-upgrade', '83920925a7fa6d08fd73111768736c56f0fa5ac2ffcc87826db747a399176a56', '5e1bcf97-82f2-41bc-b604-6240dd4e6f11', '2026-11-27 11:32:18.877127+00');
INSERT INTO projects.user_projects VALUES ('3ed978ef-6100-48c5-be34-f154a5589b65', 'a1111111-1111-4111-8111-111111111111', 'Lab', NULL, 'active', '2026-11-27 11:32:17.822387+00', '2026-11-27 11:32:17.822387+00', NULL, 0);
INSERT INTO projects.user_projects VALUES ('5e1bcf97-82f2-41bc-b604-6240dd4e6f11', 'b2222222-2222-4222-8222-222222222222', 'Lab', NULL, 'active', '2026-11-27 11:32:18.877127+00', '2026-11-27 11:32:18.877127+00', NULL, 0);
INSERT INTO projects.users VALUES ('a1111111-1111-4111-8111-111111111111', NULL, '2026-11-27 11:32:17.814107+00');
INSERT INTO projects.users VALUES ('b2222222-2222-4222-8222-222222222222', NULL, '2026-11-27 11:32:18.874113+00');
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
