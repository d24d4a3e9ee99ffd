BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0004');
CREATE TABLE approvals (
	id VARCHAR(36) NOT NULL, 
	run_id VARCHAR(36) NOT NULL, 
	task_id VARCHAR(100), 
	user_id VARCHAR(36) NOT NULL, 
	n INTEGER NOT NULL, 
	kind VARCHAR(20) NOT NULL, 
	state VARCHAR(20) NOT NULL, 
	payload JSON NOT NULL, 
	reason TEXT, 
	expires_at DATETIME NOT NULL, 
	decided_at DATETIME, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(run_id) REFERENCES runs (id)
);
CREATE TABLE chat_sessions (
	id VARCHAR(36) NOT NULL, 
	project_id VARCHAR(36) NOT NULL, 
	user_id VARCHAR(36) NOT NULL, 
	title VARCHAR(200), 
	message_count INTEGER NOT NULL, 
	run_count INTEGER NOT NULL, 
	last_event_id VARCHAR(100), 
	deleted BOOLEAN NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "chat_sessions" VALUES('ecedc4c9-801e-4cc6-83d6-9b5049703419','8c62b3cd-d0c8-43a6-99c1-6f87ca130f06','a1111111-1111-4111-8111-111111111111',NULL,6,5,'0fbf177461eb-23',0,'2026-11-27 11:32:11.375369','2026-11-27 11:32:11.910244');
INSERT INTO "chat_sessions" VALUES('85fe143b-b15a-4d11-aaac-fca459494890','8c62b3cd-d0c8-43a6-99c1-6f87ca130f06','a1111111-1111-4111-8111-111111111111',NULL,0,0,NULL,0,'2026-11-27 11:32:11.922004','2026-11-27 11:32:11.922004');
INSERT INTO "chat_sessions" VALUES('7612e7fa-49d4-4afe-94ca-10cc37bfbce8','b7ab2cc0-51d8-426c-b0e9-9c275d39e98b','b2222222-2222-4222-8222-222222222222',NULL,6,5,'b6586fe7aa0e-23',0,'2026-11-27 11:32:12.367256','2026-11-27 11:32:12.504766');
INSERT INTO "chat_sessions" VALUES('b3982d8d-2231-407e-ac90-86583437eb6a','b7ab2cc0-51d8-426c-b0e9-9c275d39e98b','b2222222-2222-4222-8222-222222222222',NULL,0,0,NULL,0,'2026-11-27 11:32:12.512299','2026-11-27 11:32:12.512299');
CREATE TABLE idempotency_keys (
	user_id VARCHAR(36) NOT NULL, 
	scope VARCHAR(40) NOT NULL, 
	request_id VARCHAR(128) NOT NULL, 
	fingerprint VARCHAR(64) NOT NULL, 
	resource_id VARCHAR(36) NOT NULL, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (user_id, scope, request_id)
);
CREATE TABLE messages (
	id VARCHAR(36) NOT NULL, 
	session_id VARCHAR(36) NOT NULL, 
	user_id VARCHAR(36) NOT NULL, 
	run_id VARCHAR(36), 
	agent_id VARCHAR(36), 
	role VARCHAR(20) NOT NULL, 
	content TEXT NOT NULL, 
	position INTEGER NOT NULL, 
	timestamp DATETIME NOT NULL, 
	metadata JSON NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(session_id) REFERENCES chat_sessions (id), 
	UNIQUE (session_id, position)
);
INSERT INTO "messages" VALUES('0e1c45c5-c55a-4882-b8c6-c8b1e1e9af58','ecedc4c9-801e-4cc6-83d6-9b5049703419','a1111111-1111-4111-8111-111111111111','57a7f045-c602-43bd-8e34-2acf67997bcf',NULL,'user','Who are you? 𝄞',0,'2026-11-27 11:32:11.394796','{}');
INSERT INTO "messages" VALUES('507ecf68-dd82-4c3e-ab0b-0f762f573341','ecedc4c9-801e-4cc6-83d6-9b5049703419','a1111111-1111-4111-8111-111111111111','57a7f045-c602-43bd-8e34-2acf67997bcf','f301a7d0-5759-4069-94f1-438ada37afb7','assistant','A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.',1,'2026-11-27 11:32:11.825369','{}');
INSERT INTO "messages" VALUES('7f89fb92-155e-4f84-bac5-19ef40618b0a','ecedc4c9-801e-4cc6-83d6-9b5049703419','a1111111-1111-4111-8111-111111111111','a731d203-d0bc-4a1c-a6ee-f8c21c99d22f',NULL,'user','Fail. #model {"status": 400}',2,'2026-11-27 11:32:11.840984','{}');
INSERT INTO "messages" VALUES('b9a5940c-05e9-470b-a976-e43f24a19643','ecedc4c9-801e-4cc6-83d6-9b5049703419','a1111111-1111-4111-8111-111111111111','feae343a-eb69-4211-86b5-a267ddbd7570',NULL,'user','Take your time. #model {"gate": "after the upgrade"}',4,'2026-11-27 11:32:11.870986','{}');
INSERT INTO "messages" VALUES('6f8e9f66-9db5-4da3-a0b9-9279bcc89815','ecedc4c9-801e-4cc6-83d6-9b5049703419','a1111111-1111-4111-8111-111111111111','f3ca20f8-e519-451d-8bbe-fbc72f9e7c75',NULL,'user','Afterwards.',6,'2026-11-27 11:32:11.891346','{}');
INSERT INTO "messages" VALUES('1950f864-6c53-4d4f-84f2-5808ead9c287','ecedc4c9-801e-4cc6-83d6-9b5049703419','a1111111-1111-4111-8111-111111111111','c19bb9d2-093f-4592-bb67-9cf047739f5e',NULL,'user','Never mind.',8,'2026-11-27 11:32:11.904698','{}');
INSERT INTO "messages" VALUES('628e6e52-e64b-4a93-a26a-714d99854143','7612e7fa-49d4-4afe-94ca-10cc37bfbce8','b2222222-2222-4222-8222-222222222222','4aefc505-6a6c-4dda-9c8d-1eaf8e50a643',NULL,'user','Who are you? 𝄞',0,'2026-11-27 11:32:12.372688','{}');
INSERT INTO "messages" VALUES('52fc041c-9a22-43d9-8e6c-3ee5a933f28f','7612e7fa-49d4-4afe-94ca-10cc37bfbce8','b2222222-2222-4222-8222-222222222222','4aefc505-6a6c-4dda-9c8d-1eaf8e50a643','191721f7-c28d-4833-bdb4-74432c9783d2','assistant','A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.',1,'2026-11-27 11:32:12.416580','{}');
INSERT INTO "messages" VALUES('47ea0126-0b49-4103-b5f2-4cbba04b258f','7612e7fa-49d4-4afe-94ca-10cc37bfbce8','b2222222-2222-4222-8222-222222222222','fa363675-3f46-419b-826e-f5bf5686440e',NULL,'user','Fail. #model {"status": 400}',2,'2026-11-27 11:32:12.424483','{}');
INSERT INTO "messages" VALUES('e4a3251f-993e-4ad6-a9d0-4bb3c9b1a395','7612e7fa-49d4-4afe-94ca-10cc37bfbce8','b2222222-2222-4222-8222-222222222222','a7982ad4-29ee-4f77-9752-1a049e06b991',NULL,'user','Take your time. #model {"gate": "after the upgrade"}',4,'2026-11-27 11:32:12.454327','{}');
INSERT INTO "messages" VALUES('2c5a876f-855b-4cbc-afaa-af742016023b','7612e7fa-49d4-4afe-94ca-10cc37bfbce8','b2222222-2222-4222-8222-222222222222','52e88aab-817b-4706-933d-00d02afdaaa9',NULL,'user','Afterwards.',6,'2026-11-27 11:32:12.480485','{}');
INSERT INTO "messages" VALUES('32699ee1-3923-43cd-9fa2-1f79bb487004','7612e7fa-49d4-4afe-94ca-10cc37bfbce8','b2222222-2222-4222-8222-222222222222','2413089e-e8f8-43bb-8a6b-c4e1d00f8bc1',NULL,'user','Never mind.',8,'2026-11-27 11:32:12.499293','{}');
CREATE TABLE projects (
	user_id VARCHAR(36) NOT NULL, 
	project_id VARCHAR(36) NOT NULL, 
	deleted BOOLEAN NOT NULL, 
	PRIMARY KEY (user_id, project_id)
);
INSERT INTO "projects" VALUES('a1111111-1111-4111-8111-111111111111','8c62b3cd-d0c8-43a6-99c1-6f87ca130f06',0);
INSERT INTO "projects" VALUES('a1111111-1111-4111-8111-111111111111','6da77031-5e5c-4154-bdf7-4d8aef60b031',1);
INSERT INTO "projects" VALUES('b2222222-2222-4222-8222-222222222222','b7ab2cc0-51d8-426c-b0e9-9c275d39e98b',0);
INSERT INTO "projects" VALUES('b2222222-2222-4222-8222-222222222222','fda3b6a9-e2a3-46ef-8ebb-d958daaf40c5',1);
CREATE TABLE "run_events" (
	run_id VARCHAR(36) NOT NULL, 
	n INTEGER NOT NULL, 
	epoch INTEGER NOT NULL, 
	type VARCHAR(50) NOT NULL, 
	payload JSON NOT NULL, 
	final BOOLEAN NOT NULL, 
	published VARCHAR(100), 
	created_at DATETIME NOT NULL, 
	user_id VARCHAR(36) NOT NULL, 
	PRIMARY KEY (run_id, n), 
	FOREIGN KEY(run_id) REFERENCES runs (id)
);
INSERT INTO "run_events" VALUES('57a7f045-c602-43bd-8e34-2acf67997bcf',1,1,'message_received','{"message": {"id": "0e1c45c5-c55a-4882-b8c6-c8b1e1e9af58", "session_id": "ecedc4c9-801e-4cc6-83d6-9b5049703419", "run_id": "57a7f045-c602-43bd-8e34-2acf67997bcf", "role": "user", "content": "Who are you? \ud834\udd1e", "agent_id": null, "timestamp": "2026-11-27T11:32:11.394796+00:00", "metadata": {}}}',0,'0fbf177461eb-1','2026-11-27 11:32:11.394796','a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_events" VALUES('57a7f045-c602-43bd-8e34-2acf67997bcf',2,1,'agent_started','{"agent_id": "f301a7d0-5759-4069-94f1-438ada37afb7", "agent_name": "Helper", "task_id": "answer"}',0,'0fbf177461eb-2','2026-11-27 11:32:11.394796','a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_events" VALUES('57a7f045-c602-43bd-8e34-2acf67997bcf',3,1,'agent_completed','{"agent_id": "f301a7d0-5759-4069-94f1-438ada37afb7", "agent_name": "Helper", "task_id": "answer", "output": "A model''s answer: cafe\u0301, \ud834\udd1e and \ud83d\udc69\u200d\ud83d\udc69\u200d\ud83d\udc67, \u4e2d\u6587, and the end.", "usage": {"prompt_tokens": 6, "completion_tokens": 11, "model_calls": 1}, "duration_ms": 431, "message": {"id": "507ecf68-dd82-4c3e-ab0b-0f762f573341", "session_id": "ecedc4c9-801e-4cc6-83d6-9b5049703419", "run_id": "57a7f045-c602-43bd-8e34-2acf67997bcf", "role": "assistant", "content": "A model''s answer: cafe\u0301, \ud834\udd1e and \ud83d\udc69\u200d\ud83d\udc69\u200d\ud83d\udc67, \u4e2d\u6587, and the end.", "agent_id": "f301a7d0-5759-4069-94f1-438ada37afb7", "timestamp": "2026-11-27T11:32:11.825369+00:00", "metadata": {}}}',1,'0fbf177461eb-7','2026-11-27 11:32:11.825369','a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_events" VALUES('a731d203-d0bc-4a1c-a6ee-f8c21c99d22f',1,1,'message_received','{"message": {"id": "7f89fb92-155e-4f84-bac5-19ef40618b0a", "session_id": "ecedc4c9-801e-4cc6-83d6-9b5049703419", "run_id": "a731d203-d0bc-4a1c-a6ee-f8c21c99d22f", "role": "user", "content": "Fail. #model {\"status\": 400}", "agent_id": null, "timestamp": "2026-11-27T11:32:11.840984+00:00", "metadata": {}}}',0,'0fbf177461eb-8','2026-11-27 11:32:11.840984','a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_events" VALUES('a731d203-d0bc-4a1c-a6ee-f8c21c99d22f',2,1,'agent_started','{"agent_id": "aa5e739d-5b5c-43d9-a453-ad0f3302236f", "agent_name": "CodeAssistant", "task_id": "answer"}',0,'0fbf177461eb-9','2026-11-27 11:32:11.840984','a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_events" VALUES('a731d203-d0bc-4a1c-a6ee-f8c21c99d22f',3,1,'agent_failed','{"error": {"reason": "MODEL_REFUSED", "detail": "the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config"}, "task_id": "answer", "agent_id": "aa5e739d-5b5c-43d9-a453-ad0f3302236f"}',0,'0fbf177461eb-14','2026-11-27 11:32:11.862576','a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_events" VALUES('a731d203-d0bc-4a1c-a6ee-f8c21c99d22f',4,1,'run_failed','{"error": {"reason": "MODEL_REFUSED", "detail": "the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config"}, "task_id": "answer", "agent_id": "aa5e739d-5b5c-43d9-a453-ad0f3302236f"}',1,'0fbf177461eb-15','2026-11-27 11:32:11.862576','a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_events" VALUES('feae343a-eb69-4211-86b5-a267ddbd7570',1,1,'message_received','{"message": {"id": "b9a5940c-05e9-470b-a976-e43f24a19643", "session_id": "ecedc4c9-801e-4cc6-83d6-9b5049703419", "run_id": "feae343a-eb69-4211-86b5-a267ddbd7570", "role": "user", "content": "Take your time. #model {\"gate\": \"after the upgrade\"}", "agent_id": null, "timestamp": "2026-11-27T11:32:11.870986+00:00", "metadata": {}}}',0,'0fbf177461eb-16','2026-11-27 11:32:11.870986','a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_events" VALUES('feae343a-eb69-4211-86b5-a267ddbd7570',2,1,'agent_started','{"agent_id": "aa5e739d-5b5c-43d9-a453-ad0f3302236f", "agent_name": "CodeAssistant", "task_id": "answer"}',0,'0fbf177461eb-17','2026-11-27 11:32:11.870986','a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_events" VALUES('f3ca20f8-e519-451d-8bbe-fbc72f9e7c75',1,0,'message_received','{"message": {"id": "6f8e9f66-9db5-4da3-a0b9-9279bcc89815", "session_id": "ecedc4c9-801e-4cc6-83d6-9b5049703419", "run_id": "f3ca20f8-e519-451d-8bbe-fbc72f9e7c75", "role": "user", "content": "Afterwards.", "agent_id": null, "timestamp": "2026-11-27T11:32:11.891346+00:00", "metadata": {}}}',0,'0fbf177461eb-19','2026-11-27 11:32:11.891346','a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_events" VALUES('c19bb9d2-093f-4592-bb67-9cf047739f5e',1,0,'message_received','{"message": {"id": "1950f864-6c53-4d4f-84f2-5808ead9c287", "session_id": "ecedc4c9-801e-4cc6-83d6-9b5049703419", "run_id": "c19bb9d2-093f-4592-bb67-9cf047739f5e", "role": "user", "content": "Never mind.", "agent_id": null, "timestamp": "2026-11-27T11:32:11.904698+00:00", "metadata": {}}}',0,'0fbf177461eb-22','2026-11-27 11:32:11.904698','a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_events" VALUES('c19bb9d2-093f-4592-bb67-9cf047739f5e',2,1,'run_cancelled','{"reason": "cancelled"}',1,'0fbf177461eb-23','2026-11-27 11:32:11.910244','a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_events" VALUES('4aefc505-6a6c-4dda-9c8d-1eaf8e50a643',1,1,'message_received','{"message": {"id": "628e6e52-e64b-4a93-a26a-714d99854143", "session_id": "7612e7fa-49d4-4afe-94ca-10cc37bfbce8", "run_id": "4aefc505-6a6c-4dda-9c8d-1eaf8e50a643", "role": "user", "content": "Who are you? \ud834\udd1e", "agent_id": null, "timestamp": "2026-11-27T11:32:12.372688+00:00", "metadata": {}}}',0,'b6586fe7aa0e-1','2026-11-27 11:32:12.372688','b2222222-2222-4222-8222-222222222222');
INSERT INTO "run_events" VALUES('4aefc505-6a6c-4dda-9c8d-1eaf8e50a643',2,1,'agent_started','{"agent_id": "191721f7-c28d-4833-bdb4-74432c9783d2", "agent_name": "Helper", "task_id": "answer"}',0,'b6586fe7aa0e-2','2026-11-27 11:32:12.372688','b2222222-2222-4222-8222-222222222222');
INSERT INTO "run_events" VALUES('4aefc505-6a6c-4dda-9c8d-1eaf8e50a643',3,1,'agent_completed','{"agent_id": "191721f7-c28d-4833-bdb4-74432c9783d2", "agent_name": "Helper", "task_id": "answer", "output": "A model''s answer: cafe\u0301, \ud834\udd1e and \ud83d\udc69\u200d\ud83d\udc69\u200d\ud83d\udc67, \u4e2d\u6587, and the end.", "usage": {"prompt_tokens": 6, "completion_tokens": 11, "model_calls": 1}, "duration_ms": 44, "message": {"id": "52fc041c-9a22-43d9-8e6c-3ee5a933f28f", "session_id": "7612e7fa-49d4-4afe-94ca-10cc37bfbce8", "run_id": "4aefc505-6a6c-4dda-9c8d-1eaf8e50a643", "role": "assistant", "content": "A model''s answer: cafe\u0301, \ud834\udd1e and \ud83d\udc69\u200d\ud83d\udc69\u200d\ud83d\udc67, \u4e2d\u6587, and the end.", "agent_id": "191721f7-c28d-4833-bdb4-74432c9783d2", "timestamp": "2026-11-27T11:32:12.416580+00:00", "metadata": {}}}',1,'b6586fe7aa0e-7','2026-11-27 11:32:12.416580','b2222222-2222-4222-8222-222222222222');
INSERT INTO "run_events" VALUES('fa363675-3f46-419b-826e-f5bf5686440e',1,1,'message_received','{"message": {"id": "47ea0126-0b49-4103-b5f2-4cbba04b258f", "session_id": "7612e7fa-49d4-4afe-94ca-10cc37bfbce8", "run_id": "fa363675-3f46-419b-826e-f5bf5686440e", "role": "user", "content": "Fail. #model {\"status\": 400}", "agent_id": null, "timestamp": "2026-11-27T11:32:12.424483+00:00", "metadata": {}}}',0,'b6586fe7aa0e-8','2026-11-27 11:32:12.424483','b2222222-2222-4222-8222-222222222222');
INSERT INTO "run_events" VALUES('fa363675-3f46-419b-826e-f5bf5686440e',2,1,'agent_started','{"agent_id": "0c25913d-a65c-428e-9f2f-5a3f39cb1ef1", "agent_name": "CodeAssistant", "task_id": "answer"}',0,'b6586fe7aa0e-9','2026-11-27 11:32:12.424483','b2222222-2222-4222-8222-222222222222');
INSERT INTO "run_events" VALUES('fa363675-3f46-419b-826e-f5bf5686440e',3,1,'agent_failed','{"error": {"reason": "MODEL_REFUSED", "detail": "the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config"}, "task_id": "answer", "agent_id": "0c25913d-a65c-428e-9f2f-5a3f39cb1ef1"}',0,'b6586fe7aa0e-14','2026-11-27 11:32:12.445541','b2222222-2222-4222-8222-222222222222');
INSERT INTO "run_events" VALUES('fa363675-3f46-419b-826e-f5bf5686440e',4,1,'run_failed','{"error": {"reason": "MODEL_REFUSED", "detail": "the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config"}, "task_id": "answer", "agent_id": "0c25913d-a65c-428e-9f2f-5a3f39cb1ef1"}',1,'b6586fe7aa0e-15','2026-11-27 11:32:12.445541','b2222222-2222-4222-8222-222222222222');
INSERT INTO "run_events" VALUES('a7982ad4-29ee-4f77-9752-1a049e06b991',1,1,'message_received','{"message": {"id": "e4a3251f-993e-4ad6-a9d0-4bb3c9b1a395", "session_id": "7612e7fa-49d4-4afe-94ca-10cc37bfbce8", "run_id": "a7982ad4-29ee-4f77-9752-1a049e06b991", "role": "user", "content": "Take your time. #model {\"gate\": \"after the upgrade\"}", "agent_id": null, "timestamp": "2026-11-27T11:32:12.454327+00:00", "metadata": {}}}',0,'b6586fe7aa0e-16','2026-11-27 11:32:12.454327','b2222222-2222-4222-8222-222222222222');
INSERT INTO "run_events" VALUES('a7982ad4-29ee-4f77-9752-1a049e06b991',2,1,'agent_started','{"agent_id": "0c25913d-a65c-428e-9f2f-5a3f39cb1ef1", "agent_name": "CodeAssistant", "task_id": "answer"}',0,'b6586fe7aa0e-17','2026-11-27 11:32:12.454327','b2222222-2222-4222-8222-222222222222');
INSERT INTO "run_events" VALUES('52e88aab-817b-4706-933d-00d02afdaaa9',1,0,'message_received','{"message": {"id": "2c5a876f-855b-4cbc-afaa-af742016023b", "session_id": "7612e7fa-49d4-4afe-94ca-10cc37bfbce8", "run_id": "52e88aab-817b-4706-933d-00d02afdaaa9", "role": "user", "content": "Afterwards.", "agent_id": null, "timestamp": "2026-11-27T11:32:12.480485+00:00", "metadata": {}}}',0,'b6586fe7aa0e-19','2026-11-27 11:32:12.480485','b2222222-2222-4222-8222-222222222222');
INSERT INTO "run_events" VALUES('2413089e-e8f8-43bb-8a6b-c4e1d00f8bc1',1,0,'message_received','{"message": {"id": "32699ee1-3923-43cd-9fa2-1f79bb487004", "session_id": "7612e7fa-49d4-4afe-94ca-10cc37bfbce8", "run_id": "2413089e-e8f8-43bb-8a6b-c4e1d00f8bc1", "role": "user", "content": "Never mind.", "agent_id": null, "timestamp": "2026-11-27T11:32:12.499293+00:00", "metadata": {}}}',0,'b6586fe7aa0e-22','2026-11-27 11:32:12.499293','b2222222-2222-4222-8222-222222222222');
INSERT INTO "run_events" VALUES('2413089e-e8f8-43bb-8a6b-c4e1d00f8bc1',2,1,'run_cancelled','{"reason": "cancelled"}',1,'b6586fe7aa0e-23','2026-11-27 11:32:12.504766','b2222222-2222-4222-8222-222222222222');
CREATE TABLE "run_tasks" (
	run_id VARCHAR(36) NOT NULL, 
	id VARCHAR(100) NOT NULL, 
	ordinal INTEGER NOT NULL, 
	agent_id VARCHAR(36) NOT NULL, 
	agent_name VARCHAR(100) NOT NULL, 
	title VARCHAR(200) NOT NULL, 
	instruction TEXT NOT NULL, 
	depends_on JSON NOT NULL, 
	state VARCHAR(20) NOT NULL, 
	attempt INTEGER NOT NULL, 
	output TEXT, 
	error_reason VARCHAR(100), 
	error_detail TEXT, 
	prompt_tokens INTEGER NOT NULL, 
	completion_tokens INTEGER NOT NULL, 
	model_calls INTEGER NOT NULL, 
	started_at DATETIME, 
	finished_at DATETIME, 
	user_id VARCHAR(36) NOT NULL, 
	PRIMARY KEY (run_id, id), 
	FOREIGN KEY(run_id) REFERENCES runs (id)
);
INSERT INTO "run_tasks" VALUES('57a7f045-c602-43bd-8e34-2acf67997bcf','answer',0,'f301a7d0-5759-4069-94f1-438ada37afb7','Helper','Who are you? 𝄞','Who are you? 𝄞','[]','succeeded',1,'A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.',NULL,NULL,6,11,1,'2026-11-27 11:32:11.394796','2026-11-27 11:32:11.825098','a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_tasks" VALUES('a731d203-d0bc-4a1c-a6ee-f8c21c99d22f','answer',0,'aa5e739d-5b5c-43d9-a453-ad0f3302236f','CodeAssistant','Fail. #model {"status": 400}','Fail. #model {"status": 400}','[]','failed',1,NULL,'MODEL_REFUSED','the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config',333,0,1,'2026-11-27 11:32:11.840984','2026-11-27 11:32:11.862506','a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_tasks" VALUES('feae343a-eb69-4211-86b5-a267ddbd7570','answer',0,'aa5e739d-5b5c-43d9-a453-ad0f3302236f','CodeAssistant','Take your time. #model {"gate": "after the upgrade"}','Take your time. #model {"gate": "after the upgrade"}','[]','running',1,NULL,NULL,NULL,0,0,0,'2026-11-27 11:32:11.870986',NULL,'a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_tasks" VALUES('f3ca20f8-e519-451d-8bbe-fbc72f9e7c75','answer',0,'aa5e739d-5b5c-43d9-a453-ad0f3302236f','CodeAssistant','Afterwards.','Afterwards.','[]','pending',0,NULL,NULL,NULL,0,0,0,NULL,NULL,'a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_tasks" VALUES('c19bb9d2-093f-4592-bb67-9cf047739f5e','answer',0,'aa5e739d-5b5c-43d9-a453-ad0f3302236f','CodeAssistant','Never mind.','Never mind.','[]','cancelled',0,NULL,NULL,NULL,0,0,0,NULL,'2026-11-27 11:32:11.910244','a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_tasks" VALUES('4aefc505-6a6c-4dda-9c8d-1eaf8e50a643','answer',0,'191721f7-c28d-4833-bdb4-74432c9783d2','Helper','Who are you? 𝄞','Who are you? 𝄞','[]','succeeded',1,'A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.',NULL,NULL,6,11,1,'2026-11-27 11:32:12.372688','2026-11-27 11:32:12.416405','b2222222-2222-4222-8222-222222222222');
INSERT INTO "run_tasks" VALUES('fa363675-3f46-419b-826e-f5bf5686440e','answer',0,'0c25913d-a65c-428e-9f2f-5a3f39cb1ef1','CodeAssistant','Fail. #model {"status": 400}','Fail. #model {"status": 400}','[]','failed',1,NULL,'MODEL_REFUSED','the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config',333,0,1,'2026-11-27 11:32:12.424483','2026-11-27 11:32:12.445467','b2222222-2222-4222-8222-222222222222');
INSERT INTO "run_tasks" VALUES('a7982ad4-29ee-4f77-9752-1a049e06b991','answer',0,'0c25913d-a65c-428e-9f2f-5a3f39cb1ef1','CodeAssistant','Take your time. #model {"gate": "after the upgrade"}','Take your time. #model {"gate": "after the upgrade"}','[]','running',1,NULL,NULL,NULL,0,0,0,'2026-11-27 11:32:12.454327',NULL,'b2222222-2222-4222-8222-222222222222');
INSERT INTO "run_tasks" VALUES('52e88aab-817b-4706-933d-00d02afdaaa9','answer',0,'0c25913d-a65c-428e-9f2f-5a3f39cb1ef1','CodeAssistant','Afterwards.','Afterwards.','[]','pending',0,NULL,NULL,NULL,0,0,0,NULL,NULL,'b2222222-2222-4222-8222-222222222222');
INSERT INTO "run_tasks" VALUES('2413089e-e8f8-43bb-8a6b-c4e1d00f8bc1','answer',0,'0c25913d-a65c-428e-9f2f-5a3f39cb1ef1','CodeAssistant','Never mind.','Never mind.','[]','cancelled',0,NULL,NULL,NULL,0,0,0,NULL,'2026-11-27 11:32:12.504766','b2222222-2222-4222-8222-222222222222');
CREATE TABLE "runs" (
	id VARCHAR(36) NOT NULL, 
	session_id VARCHAR(36) NOT NULL, 
	project_id VARCHAR(36) NOT NULL, 
	user_id VARCHAR(36) NOT NULL, 
	mode VARCHAR(20) NOT NULL, 
	state VARCHAR(20) NOT NULL, 
	position INTEGER NOT NULL, 
	answer_id VARCHAR(36) NOT NULL, 
	answered BOOLEAN NOT NULL, 
	retry_of VARCHAR(36), 
	error_reason VARCHAR(100), 
	error_detail TEXT, 
	stop_reason VARCHAR(100), 
	prompt_tokens INTEGER NOT NULL, 
	completion_tokens INTEGER NOT NULL, 
	model_calls INTEGER NOT NULL, 
	owner VARCHAR(36), 
	epoch INTEGER NOT NULL, 
	lease_until DOUBLE NOT NULL, 
	attempts INTEGER NOT NULL, 
	event_count INTEGER NOT NULL, 
	last_event_id VARCHAR(100), 
	created_at DATETIME NOT NULL, 
	started_at DATETIME, 
	finished_at DATETIME, 
	asked_at INTEGER NOT NULL, 
	plan_origin VARCHAR(20), 
	plan_problems JSON NOT NULL, 
	planning_seconds DOUBLE, 
	idle_since DOUBLE, 
	idle_seconds DOUBLE NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(session_id) REFERENCES chat_sessions (id), 
	UNIQUE (session_id, position)
);
INSERT INTO "runs" VALUES('57a7f045-c602-43bd-8e34-2acf67997bcf','ecedc4c9-801e-4cc6-83d6-9b5049703419','8c62b3cd-d0c8-43a6-99c1-6f87ca130f06','a1111111-1111-4111-8111-111111111111','direct','succeeded',0,'507ecf68-dd82-4c3e-ab0b-0f762f573341',1,NULL,NULL,NULL,NULL,6,11,1,NULL,1,1.79577913682799816135e+09,0,3,'0fbf177461eb-7','2026-11-27 11:32:11.394796','2026-11-27 11:32:11.394796','2026-11-27 11:32:11.825369',0,NULL,'[]',NULL,NULL,0.0);
INSERT INTO "runs" VALUES('a731d203-d0bc-4a1c-a6ee-f8c21c99d22f','ecedc4c9-801e-4cc6-83d6-9b5049703419','8c62b3cd-d0c8-43a6-99c1-6f87ca130f06','a1111111-1111-4111-8111-111111111111','direct','failed',1,'0030ba7d-b808-468b-b98e-e32f50eafbe3',0,NULL,'MODEL_REFUSED','the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config',NULL,333,0,1,NULL,1,1.79577913686300086977e+09,0,4,'0fbf177461eb-15','2026-11-27 11:32:11.840984','2026-11-27 11:32:11.840984','2026-11-27 11:32:11.862576',1,NULL,'[]',NULL,NULL,0.0);
INSERT INTO "runs" VALUES('feae343a-eb69-4211-86b5-a267ddbd7570','ecedc4c9-801e-4cc6-83d6-9b5049703419','8c62b3cd-d0c8-43a6-99c1-6f87ca130f06','a1111111-1111-4111-8111-111111111111','direct','running',2,'5bf86dda-2f67-4252-a478-7ee2d714cbf1',0,NULL,NULL,NULL,NULL,0,0,0,'4d34bdd1-8836-4298-b5e3-99017ccfbf70',1,1.79577913723600244523e+09,0,2,'0fbf177461eb-17','2026-11-27 11:32:11.870986','2026-11-27 11:32:11.870986',NULL,2,NULL,'[]',NULL,NULL,0.0);
INSERT INTO "runs" VALUES('f3ca20f8-e519-451d-8bbe-fbc72f9e7c75','ecedc4c9-801e-4cc6-83d6-9b5049703419','8c62b3cd-d0c8-43a6-99c1-6f87ca130f06','a1111111-1111-4111-8111-111111111111','direct','queued',3,'8bf1626d-34a2-43f9-9171-9edaa896a7b9',0,NULL,NULL,NULL,NULL,0,0,0,NULL,0,1.79577913689200901982e+09,0,1,'0fbf177461eb-19','2026-11-27 11:32:11.891346',NULL,NULL,3,NULL,'[]',NULL,NULL,0.0);
INSERT INTO "runs" VALUES('c19bb9d2-093f-4592-bb67-9cf047739f5e','ecedc4c9-801e-4cc6-83d6-9b5049703419','8c62b3cd-d0c8-43a6-99c1-6f87ca130f06','a1111111-1111-4111-8111-111111111111','direct','cancelled',4,'baf15553-bd40-49dd-9a9a-e5b23184014b',0,NULL,NULL,NULL,NULL,0,0,0,NULL,1,1.79577913690500450133e+09,0,2,'0fbf177461eb-23','2026-11-27 11:32:11.904698',NULL,'2026-11-27 11:32:11.910244',4,NULL,'[]',NULL,NULL,0.0);
INSERT INTO "runs" VALUES('4aefc505-6a6c-4dda-9c8d-1eaf8e50a643','7612e7fa-49d4-4afe-94ca-10cc37bfbce8','b7ab2cc0-51d8-426c-b0e9-9c275d39e98b','b2222222-2222-4222-8222-222222222222','direct','succeeded',0,'52fc041c-9a22-43d9-8e6c-3ee5a933f28f',1,NULL,NULL,NULL,NULL,6,11,1,NULL,1,1.79577913741701126093e+09,0,3,'b6586fe7aa0e-7','2026-11-27 11:32:12.372688','2026-11-27 11:32:12.372688','2026-11-27 11:32:12.416580',0,NULL,'[]',NULL,NULL,0.0);
INSERT INTO "runs" VALUES('fa363675-3f46-419b-826e-f5bf5686440e','7612e7fa-49d4-4afe-94ca-10cc37bfbce8','b7ab2cc0-51d8-426c-b0e9-9c275d39e98b','b2222222-2222-4222-8222-222222222222','direct','failed',1,'d05f89b9-ad02-4c5d-9499-100760f93f6a',0,NULL,'MODEL_REFUSED','the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config',NULL,333,0,1,NULL,1,1.79577913744601941111e+09,0,4,'b6586fe7aa0e-15','2026-11-27 11:32:12.424483','2026-11-27 11:32:12.424483','2026-11-27 11:32:12.445541',1,NULL,'[]',NULL,NULL,0.0);
INSERT INTO "runs" VALUES('a7982ad4-29ee-4f77-9752-1a049e06b991','7612e7fa-49d4-4afe-94ca-10cc37bfbce8','b7ab2cc0-51d8-426c-b0e9-9c275d39e98b','b2222222-2222-4222-8222-222222222222','direct','running',2,'a69ccb4d-6d4c-40fc-a777-774ae5064e03',0,NULL,NULL,NULL,NULL,0,0,0,'4d34bdd1-8836-4298-b5e3-99017ccfbf70',1,1.79577913745499134065e+09,0,2,'b6586fe7aa0e-17','2026-11-27 11:32:12.454327','2026-11-27 11:32:12.454327',NULL,2,NULL,'[]',NULL,NULL,0.0);
INSERT INTO "runs" VALUES('52e88aab-817b-4706-933d-00d02afdaaa9','7612e7fa-49d4-4afe-94ca-10cc37bfbce8','b7ab2cc0-51d8-426c-b0e9-9c275d39e98b','b2222222-2222-4222-8222-222222222222','direct','queued',3,'7d419ec8-aeee-43d4-ae4e-686c5c503d8d',0,NULL,NULL,NULL,NULL,0,0,0,NULL,0,1.79577913748198771471e+09,0,1,'b6586fe7aa0e-19','2026-11-27 11:32:12.480485',NULL,NULL,3,NULL,'[]',NULL,NULL,0.0);
INSERT INTO "runs" VALUES('2413089e-e8f8-43bb-8a6b-c4e1d00f8bc1','7612e7fa-49d4-4afe-94ca-10cc37bfbce8','b7ab2cc0-51d8-426c-b0e9-9c275d39e98b','b2222222-2222-4222-8222-222222222222','direct','cancelled',4,'8a135689-7674-4803-8a96-f7ba112c951f',0,NULL,NULL,NULL,NULL,0,0,0,NULL,1,1.79577913750001215932e+09,0,2,'b6586fe7aa0e-23','2026-11-27 11:32:12.499293',NULL,'2026-11-27 11:32:12.504766',4,NULL,'[]',NULL,NULL,0.0);
CREATE INDEX ix_chat_sessions_deleted ON chat_sessions (id) WHERE deleted IS 1;
CREATE INDEX ix_chat_sessions_owner ON chat_sessions (user_id, project_id, created_at, id);
CREATE INDEX ix_idempotency_keys_created_at ON idempotency_keys (created_at);
CREATE INDEX ix_run_events_unpublished ON run_events (created_at) WHERE published IS NULL;
CREATE UNIQUE INDEX ux_approvals_run ON approvals (run_id, n);
CREATE INDEX ix_approvals_pending ON approvals (expires_at) WHERE state = 'pending';
CREATE INDEX ix_runs_lease ON runs (state, lease_until);
CREATE UNIQUE INDEX ux_runs_retry_of ON runs (retry_of);
CREATE INDEX ix_runs_owner ON runs (user_id, project_id, created_at, id);
CREATE UNIQUE INDEX ux_runs_active ON runs (session_id) WHERE state IN ('planning', 'running', 'waiting_approval');
CREATE INDEX ix_runs_unfinished ON runs (user_id) WHERE state IN ('planning', 'running', 'waiting_approval', 'queued');
COMMIT;
