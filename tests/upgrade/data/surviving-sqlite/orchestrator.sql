BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0003');
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
INSERT INTO "chat_sessions" VALUES('2734682d-bdf9-4ea3-8c49-5abfcae94669','d07d8501-a6ed-4545-b25b-d08c31c04f50','a1111111-1111-4111-8111-111111111111',NULL,6,5,'e60bceffaa88-21',0,'2026-11-27 05:18:31.774691','2026-11-27 05:18:32.360639');
INSERT INTO "chat_sessions" VALUES('9ab6325b-3ee4-4b1d-9eb7-b458efbbe067','d07d8501-a6ed-4545-b25b-d08c31c04f50','a1111111-1111-4111-8111-111111111111',NULL,0,0,NULL,0,'2026-11-27 05:18:32.382041','2026-11-27 05:18:32.382041');
INSERT INTO "chat_sessions" VALUES('28d58e35-a518-45d6-80b0-1ad9f29dd905','4d61159e-9f40-4241-b27b-c1c3989d3cb7','b2222222-2222-4222-8222-222222222222',NULL,6,5,'d536f16eb229-23',0,'2026-11-27 05:18:33.124274','2026-11-27 05:18:33.419630');
INSERT INTO "chat_sessions" VALUES('fb5167ee-7665-41dc-8e3b-2eba8cc68e53','4d61159e-9f40-4241-b27b-c1c3989d3cb7','b2222222-2222-4222-8222-222222222222',NULL,0,0,NULL,0,'2026-11-27 05:18:33.431841','2026-11-27 05:18:33.431841');
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
INSERT INTO "messages" VALUES('f9f18036-ed38-44f5-bf07-b07441aeb3a5','2734682d-bdf9-4ea3-8c49-5abfcae94669','a1111111-1111-4111-8111-111111111111','29f68e0b-89d1-4b23-95aa-990639bad585',NULL,'user','Who are you? 𝄞',0,'2026-11-27 05:18:31.786056','{}');
INSERT INTO "messages" VALUES('b445878f-c413-4bbc-a763-66a8f8d83179','2734682d-bdf9-4ea3-8c49-5abfcae94669','a1111111-1111-4111-8111-111111111111','29f68e0b-89d1-4b23-95aa-990639bad585','4a7e1902-e03d-4f9b-971f-3cdcea5166a6','assistant','A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.',1,'2026-11-27 05:18:32.233683','{}');
INSERT INTO "messages" VALUES('0afa27e9-da2b-43c7-be1a-f51f5426b7ef','2734682d-bdf9-4ea3-8c49-5abfcae94669','a1111111-1111-4111-8111-111111111111','f7ccfefa-0ab0-45c9-b07a-ae1df6d33f16',NULL,'user','Fail. #model {"status": 400}',2,'2026-11-27 05:18:32.250231','{}');
INSERT INTO "messages" VALUES('f2c39e6b-e5a4-4351-bb6a-02a668bb118c','2734682d-bdf9-4ea3-8c49-5abfcae94669','a1111111-1111-4111-8111-111111111111','b70e6c26-d269-4c6d-bbb8-61070d0b18ab',NULL,'user','Take your time. #model {"gate": "after the upgrade"}',4,'2026-11-27 05:18:32.308118','{}');
INSERT INTO "messages" VALUES('ea6c1a6e-526c-47da-bdd0-ff4ad479f6e3','2734682d-bdf9-4ea3-8c49-5abfcae94669','a1111111-1111-4111-8111-111111111111','f71f18b1-6418-4ade-8566-cbc09aab93c0',NULL,'user','Afterwards.',6,'2026-11-27 05:18:32.342612','{}');
INSERT INTO "messages" VALUES('d285f50d-973f-4e78-8f36-c3bbc071623c','2734682d-bdf9-4ea3-8c49-5abfcae94669','a1111111-1111-4111-8111-111111111111','91bce90a-d506-4739-9e2f-756624b25efd',NULL,'user','Never mind.',8,'2026-11-27 05:18:32.353701','{}');
INSERT INTO "messages" VALUES('e90aee32-08fa-4971-96d2-44f05e51e4d3','28d58e35-a518-45d6-80b0-1ad9f29dd905','b2222222-2222-4222-8222-222222222222','f401110c-9435-4239-acb9-fc0da401bc21',NULL,'user','Who are you? 𝄞',0,'2026-11-27 05:18:33.139586','{}');
INSERT INTO "messages" VALUES('d6c799a9-f9d0-46a2-9bbc-dcaec31901c4','28d58e35-a518-45d6-80b0-1ad9f29dd905','b2222222-2222-4222-8222-222222222222','f401110c-9435-4239-acb9-fc0da401bc21','2e5bcd7f-808a-415a-b752-80fd7e29222f','assistant','A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.',1,'2026-11-27 05:18:33.309683','{}');
INSERT INTO "messages" VALUES('63cba6cb-2d67-4c28-8d57-4849348cf644','28d58e35-a518-45d6-80b0-1ad9f29dd905','b2222222-2222-4222-8222-222222222222','8c69ea99-2b77-4eca-b44f-0ae53e70532e',NULL,'user','Fail. #model {"status": 400}',2,'2026-11-27 05:18:33.320027','{}');
INSERT INTO "messages" VALUES('4efb17ab-d4a2-4857-855c-6cf9dead790a','28d58e35-a518-45d6-80b0-1ad9f29dd905','b2222222-2222-4222-8222-222222222222','2fe1d109-7ca4-44c0-97b5-83c9c66df225',NULL,'user','Take your time. #model {"gate": "after the upgrade"}',4,'2026-11-27 05:18:33.355463','{}');
INSERT INTO "messages" VALUES('7b2b1d2a-a8b5-4931-8e8f-39f843fa400a','28d58e35-a518-45d6-80b0-1ad9f29dd905','b2222222-2222-4222-8222-222222222222','f155bc06-4e63-4d4c-b95c-1af4d2b4c5af',NULL,'user','Afterwards.',6,'2026-11-27 05:18:33.395721','{}');
INSERT INTO "messages" VALUES('700ef1b3-e8a8-400f-ad53-35498fbc0425','28d58e35-a518-45d6-80b0-1ad9f29dd905','b2222222-2222-4222-8222-222222222222','a117c872-60fa-4395-966a-409bd3906bd0',NULL,'user','Never mind.',8,'2026-11-27 05:18:33.412470','{}');
CREATE TABLE projects (
	user_id VARCHAR(36) NOT NULL, 
	project_id VARCHAR(36) NOT NULL, 
	deleted BOOLEAN NOT NULL, 
	PRIMARY KEY (user_id, project_id)
);
INSERT INTO "projects" VALUES('a1111111-1111-4111-8111-111111111111','d07d8501-a6ed-4545-b25b-d08c31c04f50',0);
INSERT INTO "projects" VALUES('a1111111-1111-4111-8111-111111111111','8f742a80-79b2-4371-8c9d-c7b54708270e',1);
INSERT INTO "projects" VALUES('b2222222-2222-4222-8222-222222222222','4d61159e-9f40-4241-b27b-c1c3989d3cb7',0);
INSERT INTO "projects" VALUES('b2222222-2222-4222-8222-222222222222','425734d1-bac3-4428-9ea8-19cbdd9dba41',1);
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
INSERT INTO "run_events" VALUES('29f68e0b-89d1-4b23-95aa-990639bad585',1,1,'message_received','{"message": {"id": "f9f18036-ed38-44f5-bf07-b07441aeb3a5", "session_id": "2734682d-bdf9-4ea3-8c49-5abfcae94669", "run_id": "29f68e0b-89d1-4b23-95aa-990639bad585", "role": "user", "content": "Who are you? \ud834\udd1e", "agent_id": null, "timestamp": "2026-11-27T05:18:31.786056+00:00", "metadata": {}}}',0,'e60bceffaa88-1','2026-11-27 05:18:31.786056','a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_events" VALUES('29f68e0b-89d1-4b23-95aa-990639bad585',2,1,'agent_started','{"agent_id": "4a7e1902-e03d-4f9b-971f-3cdcea5166a6", "agent_name": "Helper", "task_id": "answer"}',0,'e60bceffaa88-2','2026-11-27 05:18:31.786056','a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_events" VALUES('29f68e0b-89d1-4b23-95aa-990639bad585',3,1,'agent_completed','{"agent_id": "4a7e1902-e03d-4f9b-971f-3cdcea5166a6", "agent_name": "Helper", "task_id": "answer", "output": "A model''s answer: cafe\u0301, \ud834\udd1e and \ud83d\udc69\u200d\ud83d\udc69\u200d\ud83d\udc67, \u4e2d\u6587, and the end.", "usage": {"prompt_tokens": 6, "completion_tokens": 11, "model_calls": 1}, "duration_ms": 448, "message": {"id": "b445878f-c413-4bbc-a763-66a8f8d83179", "session_id": "2734682d-bdf9-4ea3-8c49-5abfcae94669", "run_id": "29f68e0b-89d1-4b23-95aa-990639bad585", "role": "assistant", "content": "A model''s answer: cafe\u0301, \ud834\udd1e and \ud83d\udc69\u200d\ud83d\udc69\u200d\ud83d\udc67, \u4e2d\u6587, and the end.", "agent_id": "4a7e1902-e03d-4f9b-971f-3cdcea5166a6", "timestamp": "2026-11-27T05:18:32.233683+00:00", "metadata": {}}}',1,'e60bceffaa88-7','2026-11-27 05:18:32.233683','a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_events" VALUES('f7ccfefa-0ab0-45c9-b07a-ae1df6d33f16',1,1,'message_received','{"message": {"id": "0afa27e9-da2b-43c7-be1a-f51f5426b7ef", "session_id": "2734682d-bdf9-4ea3-8c49-5abfcae94669", "run_id": "f7ccfefa-0ab0-45c9-b07a-ae1df6d33f16", "role": "user", "content": "Fail. #model {\"status\": 400}", "agent_id": null, "timestamp": "2026-11-27T05:18:32.250231+00:00", "metadata": {}}}',0,'e60bceffaa88-8','2026-11-27 05:18:32.250231','a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_events" VALUES('f7ccfefa-0ab0-45c9-b07a-ae1df6d33f16',2,1,'agent_started','{"agent_id": "bd54a709-6847-4318-9a73-787ba5209ad4", "agent_name": "CodeAssistant", "task_id": "answer"}',0,'e60bceffaa88-9','2026-11-27 05:18:32.250231','a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_events" VALUES('f7ccfefa-0ab0-45c9-b07a-ae1df6d33f16',3,1,'agent_failed','{"error": {"reason": "MODEL_REFUSED", "detail": "the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config"}, "task_id": "answer", "agent_id": "bd54a709-6847-4318-9a73-787ba5209ad4"}',0,'e60bceffaa88-14','2026-11-27 05:18:32.293790','a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_events" VALUES('f7ccfefa-0ab0-45c9-b07a-ae1df6d33f16',4,1,'run_failed','{"error": {"reason": "MODEL_REFUSED", "detail": "the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config"}, "task_id": "answer", "agent_id": "bd54a709-6847-4318-9a73-787ba5209ad4"}',1,'e60bceffaa88-15','2026-11-27 05:18:32.293790','a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_events" VALUES('b70e6c26-d269-4c6d-bbb8-61070d0b18ab',1,1,'message_received','{"message": {"id": "f2c39e6b-e5a4-4351-bb6a-02a668bb118c", "session_id": "2734682d-bdf9-4ea3-8c49-5abfcae94669", "run_id": "b70e6c26-d269-4c6d-bbb8-61070d0b18ab", "role": "user", "content": "Take your time. #model {\"gate\": \"after the upgrade\"}", "agent_id": null, "timestamp": "2026-11-27T05:18:32.308118+00:00", "metadata": {}}}',0,'e60bceffaa88-16','2026-11-27 05:18:32.308118','a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_events" VALUES('b70e6c26-d269-4c6d-bbb8-61070d0b18ab',2,1,'agent_started','{"agent_id": "bd54a709-6847-4318-9a73-787ba5209ad4", "agent_name": "CodeAssistant", "task_id": "answer"}',0,'e60bceffaa88-17','2026-11-27 05:18:32.308118','a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_events" VALUES('f71f18b1-6418-4ade-8566-cbc09aab93c0',1,0,'message_received','{"message": {"id": "ea6c1a6e-526c-47da-bdd0-ff4ad479f6e3", "session_id": "2734682d-bdf9-4ea3-8c49-5abfcae94669", "run_id": "f71f18b1-6418-4ade-8566-cbc09aab93c0", "role": "user", "content": "Afterwards.", "agent_id": null, "timestamp": "2026-11-27T05:18:32.342612+00:00", "metadata": {}}}',0,'e60bceffaa88-19','2026-11-27 05:18:32.342612','a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_events" VALUES('91bce90a-d506-4739-9e2f-756624b25efd',1,0,'message_received','{"message": {"id": "d285f50d-973f-4e78-8f36-c3bbc071623c", "session_id": "2734682d-bdf9-4ea3-8c49-5abfcae94669", "run_id": "91bce90a-d506-4739-9e2f-756624b25efd", "role": "user", "content": "Never mind.", "agent_id": null, "timestamp": "2026-11-27T05:18:32.353701+00:00", "metadata": {}}}',0,'e60bceffaa88-20','2026-11-27 05:18:32.353701','a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_events" VALUES('91bce90a-d506-4739-9e2f-756624b25efd',2,1,'run_cancelled','{"reason": "cancelled"}',1,'e60bceffaa88-21','2026-11-27 05:18:32.360639','a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_events" VALUES('f401110c-9435-4239-acb9-fc0da401bc21',1,1,'message_received','{"message": {"id": "e90aee32-08fa-4971-96d2-44f05e51e4d3", "session_id": "28d58e35-a518-45d6-80b0-1ad9f29dd905", "run_id": "f401110c-9435-4239-acb9-fc0da401bc21", "role": "user", "content": "Who are you? \ud834\udd1e", "agent_id": null, "timestamp": "2026-11-27T05:18:33.139586+00:00", "metadata": {}}}',0,'d536f16eb229-1','2026-11-27 05:18:33.139586','b2222222-2222-4222-8222-222222222222');
INSERT INTO "run_events" VALUES('f401110c-9435-4239-acb9-fc0da401bc21',2,1,'agent_started','{"agent_id": "2e5bcd7f-808a-415a-b752-80fd7e29222f", "agent_name": "Helper", "task_id": "answer"}',0,'d536f16eb229-2','2026-11-27 05:18:33.139586','b2222222-2222-4222-8222-222222222222');
INSERT INTO "run_events" VALUES('f401110c-9435-4239-acb9-fc0da401bc21',3,1,'agent_completed','{"agent_id": "2e5bcd7f-808a-415a-b752-80fd7e29222f", "agent_name": "Helper", "task_id": "answer", "output": "A model''s answer: cafe\u0301, \ud834\udd1e and \ud83d\udc69\u200d\ud83d\udc69\u200d\ud83d\udc67, \u4e2d\u6587, and the end.", "usage": {"prompt_tokens": 6, "completion_tokens": 11, "model_calls": 1}, "duration_ms": 170, "message": {"id": "d6c799a9-f9d0-46a2-9bbc-dcaec31901c4", "session_id": "28d58e35-a518-45d6-80b0-1ad9f29dd905", "run_id": "f401110c-9435-4239-acb9-fc0da401bc21", "role": "assistant", "content": "A model''s answer: cafe\u0301, \ud834\udd1e and \ud83d\udc69\u200d\ud83d\udc69\u200d\ud83d\udc67, \u4e2d\u6587, and the end.", "agent_id": "2e5bcd7f-808a-415a-b752-80fd7e29222f", "timestamp": "2026-11-27T05:18:33.309683+00:00", "metadata": {}}}',1,'d536f16eb229-7','2026-11-27 05:18:33.309683','b2222222-2222-4222-8222-222222222222');
INSERT INTO "run_events" VALUES('8c69ea99-2b77-4eca-b44f-0ae53e70532e',1,1,'message_received','{"message": {"id": "63cba6cb-2d67-4c28-8d57-4849348cf644", "session_id": "28d58e35-a518-45d6-80b0-1ad9f29dd905", "run_id": "8c69ea99-2b77-4eca-b44f-0ae53e70532e", "role": "user", "content": "Fail. #model {\"status\": 400}", "agent_id": null, "timestamp": "2026-11-27T05:18:33.320027+00:00", "metadata": {}}}',0,'d536f16eb229-8','2026-11-27 05:18:33.320027','b2222222-2222-4222-8222-222222222222');
INSERT INTO "run_events" VALUES('8c69ea99-2b77-4eca-b44f-0ae53e70532e',2,1,'agent_started','{"agent_id": "25a41e3e-432d-4795-8c2a-417a6a9d8cfe", "agent_name": "CodeAssistant", "task_id": "answer"}',0,'d536f16eb229-9','2026-11-27 05:18:33.320027','b2222222-2222-4222-8222-222222222222');
INSERT INTO "run_events" VALUES('8c69ea99-2b77-4eca-b44f-0ae53e70532e',3,1,'agent_failed','{"error": {"reason": "MODEL_REFUSED", "detail": "the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config"}, "task_id": "answer", "agent_id": "25a41e3e-432d-4795-8c2a-417a6a9d8cfe"}',0,'d536f16eb229-14','2026-11-27 05:18:33.345622','b2222222-2222-4222-8222-222222222222');
INSERT INTO "run_events" VALUES('8c69ea99-2b77-4eca-b44f-0ae53e70532e',4,1,'run_failed','{"error": {"reason": "MODEL_REFUSED", "detail": "the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config"}, "task_id": "answer", "agent_id": "25a41e3e-432d-4795-8c2a-417a6a9d8cfe"}',1,'d536f16eb229-15','2026-11-27 05:18:33.345622','b2222222-2222-4222-8222-222222222222');
INSERT INTO "run_events" VALUES('2fe1d109-7ca4-44c0-97b5-83c9c66df225',1,1,'message_received','{"message": {"id": "4efb17ab-d4a2-4857-855c-6cf9dead790a", "session_id": "28d58e35-a518-45d6-80b0-1ad9f29dd905", "run_id": "2fe1d109-7ca4-44c0-97b5-83c9c66df225", "role": "user", "content": "Take your time. #model {\"gate\": \"after the upgrade\"}", "agent_id": null, "timestamp": "2026-11-27T05:18:33.355463+00:00", "metadata": {}}}',0,'d536f16eb229-16','2026-11-27 05:18:33.355463','b2222222-2222-4222-8222-222222222222');
INSERT INTO "run_events" VALUES('2fe1d109-7ca4-44c0-97b5-83c9c66df225',2,1,'agent_started','{"agent_id": "25a41e3e-432d-4795-8c2a-417a6a9d8cfe", "agent_name": "CodeAssistant", "task_id": "answer"}',0,'d536f16eb229-17','2026-11-27 05:18:33.355463','b2222222-2222-4222-8222-222222222222');
INSERT INTO "run_events" VALUES('f155bc06-4e63-4d4c-b95c-1af4d2b4c5af',1,0,'message_received','{"message": {"id": "7b2b1d2a-a8b5-4931-8e8f-39f843fa400a", "session_id": "28d58e35-a518-45d6-80b0-1ad9f29dd905", "run_id": "f155bc06-4e63-4d4c-b95c-1af4d2b4c5af", "role": "user", "content": "Afterwards.", "agent_id": null, "timestamp": "2026-11-27T05:18:33.395721+00:00", "metadata": {}}}',0,'d536f16eb229-21','2026-11-27 05:18:33.395721','b2222222-2222-4222-8222-222222222222');
INSERT INTO "run_events" VALUES('a117c872-60fa-4395-966a-409bd3906bd0',1,0,'message_received','{"message": {"id": "700ef1b3-e8a8-400f-ad53-35498fbc0425", "session_id": "28d58e35-a518-45d6-80b0-1ad9f29dd905", "run_id": "a117c872-60fa-4395-966a-409bd3906bd0", "role": "user", "content": "Never mind.", "agent_id": null, "timestamp": "2026-11-27T05:18:33.412470+00:00", "metadata": {}}}',0,'d536f16eb229-22','2026-11-27 05:18:33.412470','b2222222-2222-4222-8222-222222222222');
INSERT INTO "run_events" VALUES('a117c872-60fa-4395-966a-409bd3906bd0',2,1,'run_cancelled','{"reason": "cancelled"}',1,'d536f16eb229-23','2026-11-27 05:18:33.419630','b2222222-2222-4222-8222-222222222222');
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
INSERT INTO "run_tasks" VALUES('29f68e0b-89d1-4b23-95aa-990639bad585','answer',0,'4a7e1902-e03d-4f9b-971f-3cdcea5166a6','Helper','Who are you? 𝄞','Who are you? 𝄞','[]','succeeded',1,1,'A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.',NULL,NULL,6,11,1,'2026-11-27 05:18:31.786056','2026-11-27 05:18:32.233683','a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_tasks" VALUES('f7ccfefa-0ab0-45c9-b07a-ae1df6d33f16','answer',0,'bd54a709-6847-4318-9a73-787ba5209ad4','CodeAssistant','Fail. #model {"status": 400}','Fail. #model {"status": 400}','[]','failed',1,1,NULL,'MODEL_REFUSED','the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config',0,0,0,'2026-11-27 05:18:32.250231','2026-11-27 05:18:32.293790','a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_tasks" VALUES('b70e6c26-d269-4c6d-bbb8-61070d0b18ab','answer',0,'bd54a709-6847-4318-9a73-787ba5209ad4','CodeAssistant','Take your time. #model {"gate": "after the upgrade"}','Take your time. #model {"gate": "after the upgrade"}','[]','running',1,1,NULL,NULL,NULL,0,0,0,'2026-11-27 05:18:32.308118',NULL,'a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_tasks" VALUES('f71f18b1-6418-4ade-8566-cbc09aab93c0','answer',0,'bd54a709-6847-4318-9a73-787ba5209ad4','CodeAssistant','Afterwards.','Afterwards.','[]','pending',0,0,NULL,NULL,NULL,0,0,0,NULL,NULL,'a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_tasks" VALUES('91bce90a-d506-4739-9e2f-756624b25efd','answer',0,'bd54a709-6847-4318-9a73-787ba5209ad4','CodeAssistant','Never mind.','Never mind.','[]','cancelled',0,0,NULL,NULL,NULL,0,0,0,NULL,'2026-11-27 05:18:32.360639','a1111111-1111-4111-8111-111111111111');
INSERT INTO "run_tasks" VALUES('f401110c-9435-4239-acb9-fc0da401bc21','answer',0,'2e5bcd7f-808a-415a-b752-80fd7e29222f','Helper','Who are you? 𝄞','Who are you? 𝄞','[]','succeeded',1,1,'A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.',NULL,NULL,6,11,1,'2026-11-27 05:18:33.139586','2026-11-27 05:18:33.309683','b2222222-2222-4222-8222-222222222222');
INSERT INTO "run_tasks" VALUES('8c69ea99-2b77-4eca-b44f-0ae53e70532e','answer',0,'25a41e3e-432d-4795-8c2a-417a6a9d8cfe','CodeAssistant','Fail. #model {"status": 400}','Fail. #model {"status": 400}','[]','failed',1,1,NULL,'MODEL_REFUSED','the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config',0,0,0,'2026-11-27 05:18:33.320027','2026-11-27 05:18:33.345622','b2222222-2222-4222-8222-222222222222');
INSERT INTO "run_tasks" VALUES('2fe1d109-7ca4-44c0-97b5-83c9c66df225','answer',0,'25a41e3e-432d-4795-8c2a-417a6a9d8cfe','CodeAssistant','Take your time. #model {"gate": "after the upgrade"}','Take your time. #model {"gate": "after the upgrade"}','[]','running',1,1,NULL,NULL,NULL,0,0,0,'2026-11-27 05:18:33.355463',NULL,'b2222222-2222-4222-8222-222222222222');
INSERT INTO "run_tasks" VALUES('f155bc06-4e63-4d4c-b95c-1af4d2b4c5af','answer',0,'25a41e3e-432d-4795-8c2a-417a6a9d8cfe','CodeAssistant','Afterwards.','Afterwards.','[]','pending',0,0,NULL,NULL,NULL,0,0,0,NULL,NULL,'b2222222-2222-4222-8222-222222222222');
INSERT INTO "run_tasks" VALUES('a117c872-60fa-4395-966a-409bd3906bd0','answer',0,'25a41e3e-432d-4795-8c2a-417a6a9d8cfe','CodeAssistant','Never mind.','Never mind.','[]','cancelled',0,0,NULL,NULL,NULL,0,0,0,NULL,'2026-11-27 05:18:33.419630','b2222222-2222-4222-8222-222222222222');
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
	PRIMARY KEY (id), 
	FOREIGN KEY(session_id) REFERENCES chat_sessions (id), 
	UNIQUE (session_id, position)
);
INSERT INTO "runs" VALUES('29f68e0b-89d1-4b23-95aa-990639bad585','2734682d-bdf9-4ea3-8c49-5abfcae94669','d07d8501-a6ed-4545-b25b-d08c31c04f50','a1111111-1111-4111-8111-111111111111','direct','succeeded',0,'b445878f-c413-4bbc-a763-66a8f8d83179',1,NULL,NULL,NULL,NULL,6,11,1,NULL,1,1.79575671723598432544e+09,0,3,'e60bceffaa88-7','2026-11-27 05:18:31.786056','2026-11-27 05:18:31.786056','2026-11-27 05:18:32.233683',0);
INSERT INTO "runs" VALUES('f7ccfefa-0ab0-45c9-b07a-ae1df6d33f16','2734682d-bdf9-4ea3-8c49-5abfcae94669','d07d8501-a6ed-4545-b25b-d08c31c04f50','a1111111-1111-4111-8111-111111111111','direct','failed',1,'456e9d1e-4dd8-4d9e-a0b4-668559146a0d',0,NULL,'MODEL_REFUSED','the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config',NULL,0,0,0,NULL,1,1.79575671729500627518e+09,0,4,'e60bceffaa88-15','2026-11-27 05:18:32.250231','2026-11-27 05:18:32.250231','2026-11-27 05:18:32.293790',1);
INSERT INTO "runs" VALUES('b70e6c26-d269-4c6d-bbb8-61070d0b18ab','2734682d-bdf9-4ea3-8c49-5abfcae94669','d07d8501-a6ed-4545-b25b-d08c31c04f50','a1111111-1111-4111-8111-111111111111','direct','running',2,'bca08c10-e3f7-4fcd-b90d-7e359041eea5',0,NULL,NULL,NULL,NULL,0,0,0,'6344049d-8da4-4870-809a-5228f0363c69',1,1.79575671861501502991e+09,0,2,'e60bceffaa88-17','2026-11-27 05:18:32.308118','2026-11-27 05:18:32.308118',NULL,2);
INSERT INTO "runs" VALUES('f71f18b1-6418-4ade-8566-cbc09aab93c0','2734682d-bdf9-4ea3-8c49-5abfcae94669','d07d8501-a6ed-4545-b25b-d08c31c04f50','a1111111-1111-4111-8111-111111111111','direct','queued',3,'d99fc037-3e3f-45b0-9409-789dee6e3cfa',0,NULL,NULL,NULL,NULL,0,0,0,NULL,0,1.79575671734300422672e+09,0,1,'e60bceffaa88-19','2026-11-27 05:18:32.342612',NULL,NULL,3);
INSERT INTO "runs" VALUES('91bce90a-d506-4739-9e2f-756624b25efd','2734682d-bdf9-4ea3-8c49-5abfcae94669','d07d8501-a6ed-4545-b25b-d08c31c04f50','a1111111-1111-4111-8111-111111111111','direct','cancelled',4,'790e8ccb-2bf4-498f-b06b-c9421edb2919',0,NULL,NULL,NULL,NULL,0,0,0,NULL,1,1.7957567173539879322e+09,0,2,'e60bceffaa88-21','2026-11-27 05:18:32.353701',NULL,'2026-11-27 05:18:32.360639',4);
INSERT INTO "runs" VALUES('f401110c-9435-4239-acb9-fc0da401bc21','28d58e35-a518-45d6-80b0-1ad9f29dd905','4d61159e-9f40-4241-b27b-c1c3989d3cb7','b2222222-2222-4222-8222-222222222222','direct','succeeded',0,'d6c799a9-f9d0-46a2-9bbc-dcaec31901c4',1,NULL,NULL,NULL,NULL,6,11,1,NULL,1,1.79575671831000781061e+09,0,3,'d536f16eb229-7','2026-11-27 05:18:33.139586','2026-11-27 05:18:33.139586','2026-11-27 05:18:33.309683',0);
INSERT INTO "runs" VALUES('8c69ea99-2b77-4eca-b44f-0ae53e70532e','28d58e35-a518-45d6-80b0-1ad9f29dd905','4d61159e-9f40-4241-b27b-c1c3989d3cb7','b2222222-2222-4222-8222-222222222222','direct','failed',1,'552dea81-89d1-4212-a347-c4760b3c1239',0,NULL,'MODEL_REFUSED','the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config',NULL,0,0,0,NULL,1,1.79575671834601640697e+09,0,4,'d536f16eb229-15','2026-11-27 05:18:33.320027','2026-11-27 05:18:33.320027','2026-11-27 05:18:33.345622',1);
INSERT INTO "runs" VALUES('2fe1d109-7ca4-44c0-97b5-83c9c66df225','28d58e35-a518-45d6-80b0-1ad9f29dd905','4d61159e-9f40-4241-b27b-c1c3989d3cb7','b2222222-2222-4222-8222-222222222222','direct','running',2,'812eb51e-c828-420b-a460-b88875ea812c',0,NULL,NULL,NULL,NULL,0,0,0,'6344049d-8da4-4870-809a-5228f0363c69',1,1.79575671861501502991e+09,0,2,'d536f16eb229-17','2026-11-27 05:18:33.355463','2026-11-27 05:18:33.355463',NULL,2);
INSERT INTO "runs" VALUES('f155bc06-4e63-4d4c-b95c-1af4d2b4c5af','28d58e35-a518-45d6-80b0-1ad9f29dd905','4d61159e-9f40-4241-b27b-c1c3989d3cb7','b2222222-2222-4222-8222-222222222222','direct','queued',3,'b3863bcb-e008-4121-bb0f-ecda7739681c',0,NULL,NULL,NULL,NULL,0,0,0,NULL,0,1.79575671839699172981e+09,0,1,'d536f16eb229-21','2026-11-27 05:18:33.395721',NULL,NULL,3);
INSERT INTO "runs" VALUES('a117c872-60fa-4395-966a-409bd3906bd0','28d58e35-a518-45d6-80b0-1ad9f29dd905','4d61159e-9f40-4241-b27b-c1c3989d3cb7','b2222222-2222-4222-8222-222222222222','direct','cancelled',4,'4e6411dc-e03a-4236-ac2e-1eca7f5cb425',0,NULL,NULL,NULL,NULL,0,0,0,NULL,1,1.79575671841300463669e+09,0,2,'d536f16eb229-23','2026-11-27 05:18:33.412470',NULL,'2026-11-27 05:18:33.419630',4);
CREATE INDEX ix_chat_sessions_deleted ON chat_sessions (id) WHERE deleted IS 1;
CREATE INDEX ix_chat_sessions_owner ON chat_sessions (user_id, project_id, created_at, id);
CREATE INDEX ix_idempotency_keys_created_at ON idempotency_keys (created_at);
CREATE INDEX ix_run_events_unpublished ON run_events (created_at) WHERE published IS NULL;
CREATE INDEX ix_runs_lease ON runs (state, lease_until);
CREATE INDEX ix_runs_owner ON runs (user_id, project_id, created_at, id);
CREATE UNIQUE INDEX ux_runs_active ON runs (session_id) WHERE state IN ('planning', 'running', 'waiting_approval');
CREATE UNIQUE INDEX ux_runs_retry_of ON runs (retry_of);
CREATE INDEX ix_runs_unfinished ON runs (user_id) WHERE state IN ('planning', 'running', 'waiting_approval', 'queued');
CREATE UNIQUE INDEX ux_approvals_run ON approvals (run_id, n);
CREATE INDEX ix_approvals_pending ON approvals (expires_at) WHERE state = 'pending';
COMMIT;
