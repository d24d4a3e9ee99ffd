BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0002');
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
INSERT INTO "chat_sessions" VALUES('d6ec8be2-d152-4a32-b83f-8e0e99cca845','e03291f1-5c6c-4900-9a61-f086da3e872c','a1111111-1111-4111-8111-111111111111',NULL,6,5,'5252fd70dc19-23',0,'2026-11-27 02:20:23.180496','2026-11-27 02:20:23.670928');
INSERT INTO "chat_sessions" VALUES('cb7da930-1eb8-4fd9-89f3-26953259c7bf','e03291f1-5c6c-4900-9a61-f086da3e872c','a1111111-1111-4111-8111-111111111111',NULL,0,0,NULL,0,'2026-11-27 02:20:23.681286','2026-11-27 02:20:23.681286');
INSERT INTO "chat_sessions" VALUES('af3241f6-bcc8-4934-9eae-55f85d821576','a6d6ecc8-2ba2-4f64-9c1b-c9a81bde02d3','b2222222-2222-4222-8222-222222222222',NULL,6,5,'bfcfb34f1501-23',0,'2026-11-27 02:20:24.151931','2026-11-27 02:20:24.290131');
INSERT INTO "chat_sessions" VALUES('35313c14-70b5-40fa-9bfb-be56d306413f','a6d6ecc8-2ba2-4f64-9c1b-c9a81bde02d3','b2222222-2222-4222-8222-222222222222',NULL,0,0,NULL,0,'2026-11-27 02:20:24.305267','2026-11-27 02:20:24.305267');
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
INSERT INTO "messages" VALUES('b69bed9d-6b69-418e-8d86-4224e27e088e','d6ec8be2-d152-4a32-b83f-8e0e99cca845','a1111111-1111-4111-8111-111111111111','6ab6e93c-3d8a-416d-976a-d12fe475d97d',NULL,'user','Who are you? 𝄞',0,'2026-11-27 02:20:23.209703','{}');
INSERT INTO "messages" VALUES('baa6121d-a9c6-49cb-a57b-410d040af7fd','d6ec8be2-d152-4a32-b83f-8e0e99cca845','a1111111-1111-4111-8111-111111111111','6ab6e93c-3d8a-416d-976a-d12fe475d97d','1bf43c32-a3da-425b-a5d6-3bdf1f5971f4','assistant','A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.',1,'2026-11-27 02:20:23.575461','{}');
INSERT INTO "messages" VALUES('e41c7609-853f-4fa1-ae82-f8b019c73cb2','d6ec8be2-d152-4a32-b83f-8e0e99cca845','a1111111-1111-4111-8111-111111111111','1a6bcd8f-ded9-4771-8b08-4a285831095d',NULL,'user','Fail. #model {"status": 400}',2,'2026-11-27 02:20:23.592180','{}');
INSERT INTO "messages" VALUES('7fe50f51-f967-470e-b4da-5bea0c6e422d','d6ec8be2-d152-4a32-b83f-8e0e99cca845','a1111111-1111-4111-8111-111111111111','0420a623-9f7e-4c8a-99d6-eb7ac933bb26',NULL,'user','Take your time. #model {"gate": "after the upgrade"}',4,'2026-11-27 02:20:23.626375','{}');
INSERT INTO "messages" VALUES('4fc27f14-9090-4ba3-bae2-a624ef199899','d6ec8be2-d152-4a32-b83f-8e0e99cca845','a1111111-1111-4111-8111-111111111111','e8ec98bb-fa1d-442b-9607-2467f34cf6cf',NULL,'user','Afterwards.',6,'2026-11-27 02:20:23.649193','{}');
INSERT INTO "messages" VALUES('0ac42af5-11d8-47b5-ac6f-294c62c15039','d6ec8be2-d152-4a32-b83f-8e0e99cca845','a1111111-1111-4111-8111-111111111111','ac603469-f241-403e-9131-aecf0cf01eb4',NULL,'user','Never mind.',8,'2026-11-27 02:20:23.660799','{}');
INSERT INTO "messages" VALUES('757b8179-f5cf-4fbe-8113-adceab561a82','af3241f6-bcc8-4934-9eae-55f85d821576','b2222222-2222-4222-8222-222222222222','cf980d5b-1469-4162-8f8e-2ffdd38ebbd9',NULL,'user','Who are you? 𝄞',0,'2026-11-27 02:20:24.155771','{}');
INSERT INTO "messages" VALUES('58921cb6-439c-4c24-8bc4-41f54ca401df','af3241f6-bcc8-4934-9eae-55f85d821576','b2222222-2222-4222-8222-222222222222','cf980d5b-1469-4162-8f8e-2ffdd38ebbd9','ddaed5e7-65fe-4b43-b075-f6163f1f33bf','assistant','A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.',1,'2026-11-27 02:20:24.209840','{}');
INSERT INTO "messages" VALUES('9421f8ce-da5e-4d90-bdeb-020ec8d28da9','af3241f6-bcc8-4934-9eae-55f85d821576','b2222222-2222-4222-8222-222222222222','f187121e-56e8-4eae-8802-db45e60c0f94',NULL,'user','Fail. #model {"status": 400}',2,'2026-11-27 02:20:24.219696','{}');
INSERT INTO "messages" VALUES('59c00c3d-8220-4227-9e2d-1f73400ae3dd','af3241f6-bcc8-4934-9eae-55f85d821576','b2222222-2222-4222-8222-222222222222','b845921e-c116-4228-92f8-cca1cad9cb20',NULL,'user','Take your time. #model {"gate": "after the upgrade"}',4,'2026-11-27 02:20:24.250091','{}');
INSERT INTO "messages" VALUES('4ca75d63-9b91-444e-b66e-66718e44ae90','af3241f6-bcc8-4934-9eae-55f85d821576','b2222222-2222-4222-8222-222222222222','c9db09fc-0f74-478f-8829-1af3473efa01',NULL,'user','Afterwards.',6,'2026-11-27 02:20:24.273793','{}');
INSERT INTO "messages" VALUES('f001bdcd-d505-4ef2-91df-f2bd0b3794f8','af3241f6-bcc8-4934-9eae-55f85d821576','b2222222-2222-4222-8222-222222222222','da35d480-3cbb-4203-ab74-f193c1663edf',NULL,'user','Never mind.',8,'2026-11-27 02:20:24.283465','{}');
CREATE TABLE projects (
	user_id VARCHAR(36) NOT NULL, 
	project_id VARCHAR(36) NOT NULL, 
	deleted BOOLEAN NOT NULL, 
	PRIMARY KEY (user_id, project_id)
);
INSERT INTO "projects" VALUES('a1111111-1111-4111-8111-111111111111','e03291f1-5c6c-4900-9a61-f086da3e872c',0);
INSERT INTO "projects" VALUES('a1111111-1111-4111-8111-111111111111','fb1a17dc-883f-437f-909a-179eaddaeb77',1);
INSERT INTO "projects" VALUES('b2222222-2222-4222-8222-222222222222','a6d6ecc8-2ba2-4f64-9c1b-c9a81bde02d3',0);
INSERT INTO "projects" VALUES('b2222222-2222-4222-8222-222222222222','2b6a62d5-a83e-4730-8839-220fa5c72805',1);
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
INSERT INTO "run_events" VALUES('6ab6e93c-3d8a-416d-976a-d12fe475d97d',1,1,'message_received','{"message": {"id": "b69bed9d-6b69-418e-8d86-4224e27e088e", "session_id": "d6ec8be2-d152-4a32-b83f-8e0e99cca845", "run_id": "6ab6e93c-3d8a-416d-976a-d12fe475d97d", "role": "user", "content": "Who are you? \ud834\udd1e", "agent_id": null, "timestamp": "2026-11-27T02:20:23.209703+00:00", "metadata": {}}}',0,'5252fd70dc19-1','2026-11-27 02:20:23.209703','a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_events" VALUES('6ab6e93c-3d8a-416d-976a-d12fe475d97d',2,1,'agent_started','{"agent_id": "1bf43c32-a3da-425b-a5d6-3bdf1f5971f4", "agent_name": "Helper", "task_id": "answer"}',0,'5252fd70dc19-2','2026-11-27 02:20:23.209703','a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_events" VALUES('6ab6e93c-3d8a-416d-976a-d12fe475d97d',3,1,'agent_completed','{"agent_id": "1bf43c32-a3da-425b-a5d6-3bdf1f5971f4", "agent_name": "Helper", "task_id": "answer", "output": "A model''s answer: cafe\u0301, \ud834\udd1e and \ud83d\udc69\u200d\ud83d\udc69\u200d\ud83d\udc67, \u4e2d\u6587, and the end.", "usage": {"prompt_tokens": 6, "completion_tokens": 11, "model_calls": 1}, "duration_ms": 366, "message": {"id": "baa6121d-a9c6-49cb-a57b-410d040af7fd", "session_id": "d6ec8be2-d152-4a32-b83f-8e0e99cca845", "run_id": "6ab6e93c-3d8a-416d-976a-d12fe475d97d", "role": "assistant", "content": "A model''s answer: cafe\u0301, \ud834\udd1e and \ud83d\udc69\u200d\ud83d\udc69\u200d\ud83d\udc67, \u4e2d\u6587, and the end.", "agent_id": "1bf43c32-a3da-425b-a5d6-3bdf1f5971f4", "timestamp": "2026-11-27T02:20:23.575461+00:00", "metadata": {}}}',1,'5252fd70dc19-7','2026-11-27 02:20:23.575461','a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_events" VALUES('1a6bcd8f-ded9-4771-8b08-4a285831095d',1,1,'message_received','{"message": {"id": "e41c7609-853f-4fa1-ae82-f8b019c73cb2", "session_id": "d6ec8be2-d152-4a32-b83f-8e0e99cca845", "run_id": "1a6bcd8f-ded9-4771-8b08-4a285831095d", "role": "user", "content": "Fail. #model {\"status\": 400}", "agent_id": null, "timestamp": "2026-11-27T02:20:23.592180+00:00", "metadata": {}}}',0,'5252fd70dc19-8','2026-11-27 02:20:23.592180','a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_events" VALUES('1a6bcd8f-ded9-4771-8b08-4a285831095d',2,1,'agent_started','{"agent_id": "0de8140d-20ce-4f3d-8228-923536b92751", "agent_name": "CodeAssistant", "task_id": "answer"}',0,'5252fd70dc19-9','2026-11-27 02:20:23.592180','a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_events" VALUES('1a6bcd8f-ded9-4771-8b08-4a285831095d',3,1,'agent_failed','{"error": {"reason": "MODEL_REFUSED", "detail": "the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config"}, "task_id": "answer", "agent_id": "0de8140d-20ce-4f3d-8228-923536b92751"}',0,'5252fd70dc19-14','2026-11-27 02:20:23.615370','a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_events" VALUES('1a6bcd8f-ded9-4771-8b08-4a285831095d',4,1,'run_failed','{"error": {"reason": "MODEL_REFUSED", "detail": "the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config"}, "task_id": "answer", "agent_id": "0de8140d-20ce-4f3d-8228-923536b92751"}',1,'5252fd70dc19-15','2026-11-27 02:20:23.615370','a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_events" VALUES('0420a623-9f7e-4c8a-99d6-eb7ac933bb26',1,1,'message_received','{"message": {"id": "7fe50f51-f967-470e-b4da-5bea0c6e422d", "session_id": "d6ec8be2-d152-4a32-b83f-8e0e99cca845", "run_id": "0420a623-9f7e-4c8a-99d6-eb7ac933bb26", "role": "user", "content": "Take your time. #model {\"gate\": \"after the upgrade\"}", "agent_id": null, "timestamp": "2026-11-27T02:20:23.626375+00:00", "metadata": {}}}',0,'5252fd70dc19-16','2026-11-27 02:20:23.626375','a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_events" VALUES('0420a623-9f7e-4c8a-99d6-eb7ac933bb26',2,1,'agent_started','{"agent_id": "0de8140d-20ce-4f3d-8228-923536b92751", "agent_name": "CodeAssistant", "task_id": "answer"}',0,'5252fd70dc19-17','2026-11-27 02:20:23.626375','a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_events" VALUES('e8ec98bb-fa1d-442b-9607-2467f34cf6cf',1,0,'message_received','{"message": {"id": "4fc27f14-9090-4ba3-bae2-a624ef199899", "session_id": "d6ec8be2-d152-4a32-b83f-8e0e99cca845", "run_id": "e8ec98bb-fa1d-442b-9607-2467f34cf6cf", "role": "user", "content": "Afterwards.", "agent_id": null, "timestamp": "2026-11-27T02:20:23.649193+00:00", "metadata": {}}}',0,'5252fd70dc19-19','2026-11-27 02:20:23.649193','a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_events" VALUES('ac603469-f241-403e-9131-aecf0cf01eb4',1,0,'message_received','{"message": {"id": "0ac42af5-11d8-47b5-ac6f-294c62c15039", "session_id": "d6ec8be2-d152-4a32-b83f-8e0e99cca845", "run_id": "ac603469-f241-403e-9131-aecf0cf01eb4", "role": "user", "content": "Never mind.", "agent_id": null, "timestamp": "2026-11-27T02:20:23.660799+00:00", "metadata": {}}}',0,'5252fd70dc19-20','2026-11-27 02:20:23.660799','a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_events" VALUES('ac603469-f241-403e-9131-aecf0cf01eb4',2,1,'run_cancelled','{"reason": "cancelled"}',1,'5252fd70dc19-23','2026-11-27 02:20:23.670928','a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_events" VALUES('cf980d5b-1469-4162-8f8e-2ffdd38ebbd9',1,1,'message_received','{"message": {"id": "757b8179-f5cf-4fbe-8113-adceab561a82", "session_id": "af3241f6-bcc8-4934-9eae-55f85d821576", "run_id": "cf980d5b-1469-4162-8f8e-2ffdd38ebbd9", "role": "user", "content": "Who are you? \ud834\udd1e", "agent_id": null, "timestamp": "2026-11-27T02:20:24.155771+00:00", "metadata": {}}}',0,'bfcfb34f1501-1','2026-11-27 02:20:24.155771','b2222222-2222-4222-8222-222222222222');
INSERT INTO "run_events" VALUES('cf980d5b-1469-4162-8f8e-2ffdd38ebbd9',2,1,'agent_started','{"agent_id": "ddaed5e7-65fe-4b43-b075-f6163f1f33bf", "agent_name": "Helper", "task_id": "answer"}',0,'bfcfb34f1501-2','2026-11-27 02:20:24.155771','b2222222-2222-4222-8222-222222222222');
INSERT INTO "run_events" VALUES('cf980d5b-1469-4162-8f8e-2ffdd38ebbd9',3,1,'agent_completed','{"agent_id": "ddaed5e7-65fe-4b43-b075-f6163f1f33bf", "agent_name": "Helper", "task_id": "answer", "output": "A model''s answer: cafe\u0301, \ud834\udd1e and \ud83d\udc69\u200d\ud83d\udc69\u200d\ud83d\udc67, \u4e2d\u6587, and the end.", "usage": {"prompt_tokens": 6, "completion_tokens": 11, "model_calls": 1}, "duration_ms": 54, "message": {"id": "58921cb6-439c-4c24-8bc4-41f54ca401df", "session_id": "af3241f6-bcc8-4934-9eae-55f85d821576", "run_id": "cf980d5b-1469-4162-8f8e-2ffdd38ebbd9", "role": "assistant", "content": "A model''s answer: cafe\u0301, \ud834\udd1e and \ud83d\udc69\u200d\ud83d\udc69\u200d\ud83d\udc67, \u4e2d\u6587, and the end.", "agent_id": "ddaed5e7-65fe-4b43-b075-f6163f1f33bf", "timestamp": "2026-11-27T02:20:24.209840+00:00", "metadata": {}}}',1,'bfcfb34f1501-7','2026-11-27 02:20:24.209840','b2222222-2222-4222-8222-222222222222');
INSERT INTO "run_events" VALUES('f187121e-56e8-4eae-8802-db45e60c0f94',1,1,'message_received','{"message": {"id": "9421f8ce-da5e-4d90-bdeb-020ec8d28da9", "session_id": "af3241f6-bcc8-4934-9eae-55f85d821576", "run_id": "f187121e-56e8-4eae-8802-db45e60c0f94", "role": "user", "content": "Fail. #model {\"status\": 400}", "agent_id": null, "timestamp": "2026-11-27T02:20:24.219696+00:00", "metadata": {}}}',0,'bfcfb34f1501-8','2026-11-27 02:20:24.219696','b2222222-2222-4222-8222-222222222222');
INSERT INTO "run_events" VALUES('f187121e-56e8-4eae-8802-db45e60c0f94',2,1,'agent_started','{"agent_id": "8adde249-f8d1-47eb-b80e-752ee16e7ffd", "agent_name": "CodeAssistant", "task_id": "answer"}',0,'bfcfb34f1501-9','2026-11-27 02:20:24.219696','b2222222-2222-4222-8222-222222222222');
INSERT INTO "run_events" VALUES('f187121e-56e8-4eae-8802-db45e60c0f94',3,1,'agent_failed','{"error": {"reason": "MODEL_REFUSED", "detail": "the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config"}, "task_id": "answer", "agent_id": "8adde249-f8d1-47eb-b80e-752ee16e7ffd"}',0,'bfcfb34f1501-14','2026-11-27 02:20:24.242881','b2222222-2222-4222-8222-222222222222');
INSERT INTO "run_events" VALUES('f187121e-56e8-4eae-8802-db45e60c0f94',4,1,'run_failed','{"error": {"reason": "MODEL_REFUSED", "detail": "the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config"}, "task_id": "answer", "agent_id": "8adde249-f8d1-47eb-b80e-752ee16e7ffd"}',1,'bfcfb34f1501-15','2026-11-27 02:20:24.242881','b2222222-2222-4222-8222-222222222222');
INSERT INTO "run_events" VALUES('b845921e-c116-4228-92f8-cca1cad9cb20',1,1,'message_received','{"message": {"id": "59c00c3d-8220-4227-9e2d-1f73400ae3dd", "session_id": "af3241f6-bcc8-4934-9eae-55f85d821576", "run_id": "b845921e-c116-4228-92f8-cca1cad9cb20", "role": "user", "content": "Take your time. #model {\"gate\": \"after the upgrade\"}", "agent_id": null, "timestamp": "2026-11-27T02:20:24.250091+00:00", "metadata": {}}}',0,'bfcfb34f1501-16','2026-11-27 02:20:24.250091','b2222222-2222-4222-8222-222222222222');
INSERT INTO "run_events" VALUES('b845921e-c116-4228-92f8-cca1cad9cb20',2,1,'agent_started','{"agent_id": "8adde249-f8d1-47eb-b80e-752ee16e7ffd", "agent_name": "CodeAssistant", "task_id": "answer"}',0,'bfcfb34f1501-17','2026-11-27 02:20:24.250091','b2222222-2222-4222-8222-222222222222');
INSERT INTO "run_events" VALUES('c9db09fc-0f74-478f-8829-1af3473efa01',1,0,'message_received','{"message": {"id": "4ca75d63-9b91-444e-b66e-66718e44ae90", "session_id": "af3241f6-bcc8-4934-9eae-55f85d821576", "run_id": "c9db09fc-0f74-478f-8829-1af3473efa01", "role": "user", "content": "Afterwards.", "agent_id": null, "timestamp": "2026-11-27T02:20:24.273793+00:00", "metadata": {}}}',0,'bfcfb34f1501-19','2026-11-27 02:20:24.273793','b2222222-2222-4222-8222-222222222222');
INSERT INTO "run_events" VALUES('da35d480-3cbb-4203-ab74-f193c1663edf',1,0,'message_received','{"message": {"id": "f001bdcd-d505-4ef2-91df-f2bd0b3794f8", "session_id": "af3241f6-bcc8-4934-9eae-55f85d821576", "run_id": "da35d480-3cbb-4203-ab74-f193c1663edf", "role": "user", "content": "Never mind.", "agent_id": null, "timestamp": "2026-11-27T02:20:24.283465+00:00", "metadata": {}}}',0,'bfcfb34f1501-20','2026-11-27 02:20:24.283465','b2222222-2222-4222-8222-222222222222');
INSERT INTO "run_events" VALUES('da35d480-3cbb-4203-ab74-f193c1663edf',2,1,'run_cancelled','{"reason": "cancelled"}',1,'bfcfb34f1501-23','2026-11-27 02:20:24.290131','b2222222-2222-4222-8222-222222222222');
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
	generation INTEGER NOT NULL, 
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
INSERT INTO "run_tasks" VALUES('6ab6e93c-3d8a-416d-976a-d12fe475d97d','answer',0,'1bf43c32-a3da-425b-a5d6-3bdf1f5971f4','Helper','Who are you? 𝄞','Who are you? 𝄞','[]','succeeded',1,1,'A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.',NULL,NULL,6,11,1,'2026-11-27 02:20:23.209703','2026-11-27 02:20:23.575461','a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_tasks" VALUES('1a6bcd8f-ded9-4771-8b08-4a285831095d','answer',0,'0de8140d-20ce-4f3d-8228-923536b92751','CodeAssistant','Fail. #model {"status": 400}','Fail. #model {"status": 400}','[]','failed',1,1,NULL,'MODEL_REFUSED','the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config',0,0,0,'2026-11-27 02:20:23.592180','2026-11-27 02:20:23.615370','a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_tasks" VALUES('0420a623-9f7e-4c8a-99d6-eb7ac933bb26','answer',0,'0de8140d-20ce-4f3d-8228-923536b92751','CodeAssistant','Take your time. #model {"gate": "after the upgrade"}','Take your time. #model {"gate": "after the upgrade"}','[]','running',1,1,NULL,NULL,NULL,0,0,0,'2026-11-27 02:20:23.626375',NULL,'a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_tasks" VALUES('e8ec98bb-fa1d-442b-9607-2467f34cf6cf','answer',0,'0de8140d-20ce-4f3d-8228-923536b92751','CodeAssistant','Afterwards.','Afterwards.','[]','pending',0,0,NULL,NULL,NULL,0,0,0,NULL,NULL,'a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_tasks" VALUES('ac603469-f241-403e-9131-aecf0cf01eb4','answer',0,'0de8140d-20ce-4f3d-8228-923536b92751','CodeAssistant','Never mind.','Never mind.','[]','cancelled',0,0,NULL,NULL,NULL,0,0,0,NULL,'2026-11-27 02:20:23.670928','a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_tasks" VALUES('cf980d5b-1469-4162-8f8e-2ffdd38ebbd9','answer',0,'ddaed5e7-65fe-4b43-b075-f6163f1f33bf','Helper','Who are you? 𝄞','Who are you? 𝄞','[]','succeeded',1,1,'A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.',NULL,NULL,6,11,1,'2026-11-27 02:20:24.155771','2026-11-27 02:20:24.209840','b2222222-2222-4222-8222-222222222222');
INSERT INTO "run_tasks" VALUES('f187121e-56e8-4eae-8802-db45e60c0f94','answer',0,'8adde249-f8d1-47eb-b80e-752ee16e7ffd','CodeAssistant','Fail. #model {"status": 400}','Fail. #model {"status": 400}','[]','failed',1,1,NULL,'MODEL_REFUSED','the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config',0,0,0,'2026-11-27 02:20:24.219696','2026-11-27 02:20:24.242881','b2222222-2222-4222-8222-222222222222');
INSERT INTO "run_tasks" VALUES('b845921e-c116-4228-92f8-cca1cad9cb20','answer',0,'8adde249-f8d1-47eb-b80e-752ee16e7ffd','CodeAssistant','Take your time. #model {"gate": "after the upgrade"}','Take your time. #model {"gate": "after the upgrade"}','[]','running',1,1,NULL,NULL,NULL,0,0,0,'2026-11-27 02:20:24.250091',NULL,'b2222222-2222-4222-8222-222222222222');
INSERT INTO "run_tasks" VALUES('c9db09fc-0f74-478f-8829-1af3473efa01','answer',0,'8adde249-f8d1-47eb-b80e-752ee16e7ffd','CodeAssistant','Afterwards.','Afterwards.','[]','pending',0,0,NULL,NULL,NULL,0,0,0,NULL,NULL,'b2222222-2222-4222-8222-222222222222');
INSERT INTO "run_tasks" VALUES('da35d480-3cbb-4203-ab74-f193c1663edf','answer',0,'8adde249-f8d1-47eb-b80e-752ee16e7ffd','CodeAssistant','Never mind.','Never mind.','[]','cancelled',0,0,NULL,NULL,NULL,0,0,0,NULL,'2026-11-27 02:20:24.290131','b2222222-2222-4222-8222-222222222222');
CREATE TABLE runs (
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
	PRIMARY KEY (id), 
	FOREIGN KEY(session_id) REFERENCES chat_sessions (id), 
	UNIQUE (session_id, position)
);
INSERT INTO "runs" VALUES('6ab6e93c-3d8a-416d-976a-d12fe475d97d','d6ec8be2-d152-4a32-b83f-8e0e99cca845','e03291f1-5c6c-4900-9a61-f086da3e872c','a1111111-1111-4111-8111-111111111111','direct','succeeded',0,'baa6121d-a9c6-49cb-a57b-410d040af7fd',1,NULL,NULL,NULL,NULL,6,11,1,NULL,1,1.79574602857800745959e+09,0,3,'5252fd70dc19-7','2026-11-27 02:20:23.209703','2026-11-27 02:20:23.209703','2026-11-27 02:20:23.575461');
INSERT INTO "runs" VALUES('1a6bcd8f-ded9-4771-8b08-4a285831095d','d6ec8be2-d152-4a32-b83f-8e0e99cca845','e03291f1-5c6c-4900-9a61-f086da3e872c','a1111111-1111-4111-8111-111111111111','direct','failed',1,'e417532d-5645-4b97-944d-5db94e73b164',0,NULL,'MODEL_REFUSED','the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config',NULL,0,0,0,NULL,1,1.79574602861699342726e+09,0,4,'5252fd70dc19-15','2026-11-27 02:20:23.592180','2026-11-27 02:20:23.592180','2026-11-27 02:20:23.615370');
INSERT INTO "runs" VALUES('0420a623-9f7e-4c8a-99d6-eb7ac933bb26','d6ec8be2-d152-4a32-b83f-8e0e99cca845','e03291f1-5c6c-4900-9a61-f086da3e872c','a1111111-1111-4111-8111-111111111111','direct','running',2,'cd193218-1a6a-4469-adb4-e0cc75eafa7f',0,NULL,NULL,NULL,NULL,0,0,0,'9ecd1c80-a17e-45e3-8a73-04de624a431d',1,1.79574602902101469045e+09,0,2,'5252fd70dc19-17','2026-11-27 02:20:23.626375','2026-11-27 02:20:23.626375',NULL);
INSERT INTO "runs" VALUES('e8ec98bb-fa1d-442b-9607-2467f34cf6cf','d6ec8be2-d152-4a32-b83f-8e0e99cca845','e03291f1-5c6c-4900-9a61-f086da3e872c','a1111111-1111-4111-8111-111111111111','direct','queued',3,'992b6773-386a-480c-a2c0-c7e0aad896e7',0,NULL,NULL,NULL,NULL,0,0,0,NULL,0,1.79574602864998459812e+09,0,1,'5252fd70dc19-19','2026-11-27 02:20:23.649193',NULL,NULL);
INSERT INTO "runs" VALUES('ac603469-f241-403e-9131-aecf0cf01eb4','d6ec8be2-d152-4a32-b83f-8e0e99cca845','e03291f1-5c6c-4900-9a61-f086da3e872c','a1111111-1111-4111-8111-111111111111','direct','cancelled',4,'63382616-8077-4ec4-b682-ac7d40b6c4ef',0,NULL,NULL,NULL,NULL,0,0,0,NULL,1,1.79574602866100835798e+09,0,2,'5252fd70dc19-23','2026-11-27 02:20:23.660799',NULL,'2026-11-27 02:20:23.670928');
INSERT INTO "runs" VALUES('cf980d5b-1469-4162-8f8e-2ffdd38ebbd9','af3241f6-bcc8-4934-9eae-55f85d821576','a6d6ecc8-2ba2-4f64-9c1b-c9a81bde02d3','b2222222-2222-4222-8222-222222222222','direct','succeeded',0,'58921cb6-439c-4c24-8bc4-41f54ca401df',1,NULL,NULL,NULL,NULL,6,11,1,NULL,1,1.79574602920998954765e+09,0,3,'bfcfb34f1501-7','2026-11-27 02:20:24.155771','2026-11-27 02:20:24.155771','2026-11-27 02:20:24.209840');
INSERT INTO "runs" VALUES('f187121e-56e8-4eae-8802-db45e60c0f94','af3241f6-bcc8-4934-9eae-55f85d821576','a6d6ecc8-2ba2-4f64-9c1b-c9a81bde02d3','b2222222-2222-4222-8222-222222222222','direct','failed',1,'d0e6d2ad-7673-477d-bea6-1d02be305026',0,NULL,'MODEL_REFUSED','the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config',NULL,0,0,0,NULL,1,1.79574602924298071856e+09,0,4,'bfcfb34f1501-15','2026-11-27 02:20:24.219696','2026-11-27 02:20:24.219696','2026-11-27 02:20:24.242881');
INSERT INTO "runs" VALUES('b845921e-c116-4228-92f8-cca1cad9cb20','af3241f6-bcc8-4934-9eae-55f85d821576','a6d6ecc8-2ba2-4f64-9c1b-c9a81bde02d3','b2222222-2222-4222-8222-222222222222','direct','running',2,'9b3a05ee-9599-46c2-8904-d7734e94c4ee',0,NULL,NULL,NULL,NULL,0,0,0,'9ecd1c80-a17e-45e3-8a73-04de624a431d',1,1.79574602924998140331e+09,0,2,'bfcfb34f1501-17','2026-11-27 02:20:24.250091','2026-11-27 02:20:24.250091',NULL);
INSERT INTO "runs" VALUES('c9db09fc-0f74-478f-8829-1af3473efa01','af3241f6-bcc8-4934-9eae-55f85d821576','a6d6ecc8-2ba2-4f64-9c1b-c9a81bde02d3','b2222222-2222-4222-8222-222222222222','direct','queued',3,'3e7b51c7-1480-418a-9d68-07eece80b68f',0,NULL,NULL,NULL,NULL,0,0,0,NULL,0,1.79574602927400064468e+09,0,1,'bfcfb34f1501-19','2026-11-27 02:20:24.273793',NULL,NULL);
INSERT INTO "runs" VALUES('da35d480-3cbb-4203-ab74-f193c1663edf','af3241f6-bcc8-4934-9eae-55f85d821576','a6d6ecc8-2ba2-4f64-9c1b-c9a81bde02d3','b2222222-2222-4222-8222-222222222222','direct','cancelled',4,'1671507f-7c3b-4e1e-909a-a5b504cfe488',0,NULL,NULL,NULL,NULL,0,0,0,NULL,1,1.7957460292840185165e+09,0,2,'bfcfb34f1501-23','2026-11-27 02:20:24.283465',NULL,'2026-11-27 02:20:24.290131');
CREATE INDEX ix_chat_sessions_deleted ON chat_sessions (id) WHERE deleted IS 1;
CREATE INDEX ix_chat_sessions_owner ON chat_sessions (user_id, project_id, created_at, id);
CREATE INDEX ix_idempotency_keys_created_at ON idempotency_keys (created_at);
CREATE INDEX ix_runs_lease ON runs (state, lease_until);
CREATE INDEX ix_runs_owner ON runs (user_id, project_id, created_at, id);
CREATE UNIQUE INDEX ux_runs_active ON runs (session_id) WHERE state IN ('planning', 'running', 'waiting_approval');
CREATE INDEX ix_run_events_unpublished ON run_events (created_at) WHERE published IS NULL;
COMMIT;
