BEGIN TRANSACTION;
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
INSERT INTO "chat_sessions" VALUES('74934bfb-6d29-4d1d-b422-4f734431bef9','e75ae69a-4104-46f4-917d-04d101b6104a','a1111111-1111-4111-8111-111111111111',NULL,6,5,'c975b569002b-23',0,'2026-11-23 04:30:38.066907','2026-11-23 04:30:38.624997');
INSERT INTO "chat_sessions" VALUES('63fcb9f9-2612-4e13-b9f1-8eab7aae60cd','e75ae69a-4104-46f4-917d-04d101b6104a','a1111111-1111-4111-8111-111111111111',NULL,0,0,NULL,0,'2026-11-23 04:30:38.685803','2026-11-23 04:30:38.685803');
INSERT INTO "chat_sessions" VALUES('516396e1-b3f7-4549-8bb5-b049df34cb90','15731e81-0c49-46d9-822b-a3250c26bf43','b2222222-2222-4222-8222-222222222222',NULL,6,5,'14b409484781-23',0,'2026-11-23 04:30:39.653607','2026-11-23 04:30:39.801180');
INSERT INTO "chat_sessions" VALUES('ebc1e2c6-2351-488a-b060-043bb3e59c13','15731e81-0c49-46d9-822b-a3250c26bf43','b2222222-2222-4222-8222-222222222222',NULL,0,0,NULL,0,'2026-11-23 04:30:39.810797','2026-11-23 04:30:39.810797');
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
	UNIQUE (session_id, position), 
	FOREIGN KEY(session_id) REFERENCES chat_sessions (id)
);
INSERT INTO "messages" VALUES('5a55e5fe-b76b-40b1-bb03-8d7b64e532c0','74934bfb-6d29-4d1d-b422-4f734431bef9','a1111111-1111-4111-8111-111111111111','1694bde7-17ff-45ee-a69a-4275abb2b0e2',NULL,'user','Who are you? 𝄞',0,'2026-11-23 04:30:38.089818','{}');
INSERT INTO "messages" VALUES('d29d1eb6-84a0-4f77-b540-2fae9f6e137b','74934bfb-6d29-4d1d-b422-4f734431bef9','a1111111-1111-4111-8111-111111111111','1694bde7-17ff-45ee-a69a-4275abb2b0e2','a1f136fc-7bae-4920-ba51-bd2d189e144f','assistant','A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.',1,'2026-11-23 04:30:38.451131','{}');
INSERT INTO "messages" VALUES('89f05a03-62a8-4fe4-8765-2e5eac8061ae','74934bfb-6d29-4d1d-b422-4f734431bef9','a1111111-1111-4111-8111-111111111111','85eb460b-14c6-4404-bd14-582380a66521',NULL,'user','Fail. #model {"status": 400}',2,'2026-11-23 04:30:38.469380','{}');
INSERT INTO "messages" VALUES('8e96fbb3-f2a5-4504-b877-896cb94bbd8a','74934bfb-6d29-4d1d-b422-4f734431bef9','a1111111-1111-4111-8111-111111111111','cef59433-c5c4-4246-8887-a847302380e2',NULL,'user','Take your time. #model {"gate": "after the upgrade"}',4,'2026-11-23 04:30:38.492536','{}');
INSERT INTO "messages" VALUES('2ab28e2b-258e-419b-a919-e4446da60c3f','74934bfb-6d29-4d1d-b422-4f734431bef9','a1111111-1111-4111-8111-111111111111','96db92a5-8cc2-4b40-8f6c-a3f99fa582da',NULL,'user','Afterwards.',6,'2026-11-23 04:30:38.568974','{}');
INSERT INTO "messages" VALUES('3f0bb513-b586-46a9-b039-f38b6b66cc71','74934bfb-6d29-4d1d-b422-4f734431bef9','a1111111-1111-4111-8111-111111111111','abd6427d-67c6-4858-923c-c6c699c61c0b',NULL,'user','Never mind.',8,'2026-11-23 04:30:38.598014','{}');
INSERT INTO "messages" VALUES('6351b7f2-39e3-4020-8e56-240354c7d2f0','516396e1-b3f7-4549-8bb5-b049df34cb90','b2222222-2222-4222-8222-222222222222','12888251-d846-467b-be52-7afc9ddea4b9',NULL,'user','Who are you? 𝄞',0,'2026-11-23 04:30:39.664924','{}');
INSERT INTO "messages" VALUES('5fee5ac5-2b64-4283-abd6-249ef289ef87','516396e1-b3f7-4549-8bb5-b049df34cb90','b2222222-2222-4222-8222-222222222222','12888251-d846-467b-be52-7afc9ddea4b9','5ff15a7b-b29a-485e-9e18-5b8d9390e9ed','assistant','A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.',1,'2026-11-23 04:30:39.694209','{}');
INSERT INTO "messages" VALUES('daf5c180-3e36-4964-8f4f-676519a4c303','516396e1-b3f7-4549-8bb5-b049df34cb90','b2222222-2222-4222-8222-222222222222','d9233eb2-d08c-4015-98e5-04575bb46f2d',NULL,'user','Fail. #model {"status": 400}',2,'2026-11-23 04:30:39.711891','{}');
INSERT INTO "messages" VALUES('07687802-8ed9-4564-a5c2-75c54028dbf0','516396e1-b3f7-4549-8bb5-b049df34cb90','b2222222-2222-4222-8222-222222222222','bd726b75-2d47-4c68-93b4-f84fb8c1323d',NULL,'user','Take your time. #model {"gate": "after the upgrade"}',4,'2026-11-23 04:30:39.753720','{}');
INSERT INTO "messages" VALUES('94adcf07-ad55-4e6f-a33a-41b113c80821','516396e1-b3f7-4549-8bb5-b049df34cb90','b2222222-2222-4222-8222-222222222222','a5989cfc-08d6-470b-8a04-1ac8fd499330',NULL,'user','Afterwards.',6,'2026-11-23 04:30:39.784639','{}');
INSERT INTO "messages" VALUES('1f89a752-d1a1-4c69-b36d-603f770f0908','516396e1-b3f7-4549-8bb5-b049df34cb90','b2222222-2222-4222-8222-222222222222','ab428642-beee-47f3-b3d4-d9aeba1018a5',NULL,'user','Never mind.',8,'2026-11-23 04:30:39.793477','{}');
CREATE TABLE projects (
	user_id VARCHAR(36) NOT NULL, 
	project_id VARCHAR(36) NOT NULL, 
	deleted BOOLEAN NOT NULL, 
	PRIMARY KEY (user_id, project_id)
);
INSERT INTO "projects" VALUES('a1111111-1111-4111-8111-111111111111','e75ae69a-4104-46f4-917d-04d101b6104a',0);
INSERT INTO "projects" VALUES('a1111111-1111-4111-8111-111111111111','27487413-3672-44f3-ab78-8b380be2dc32',1);
INSERT INTO "projects" VALUES('b2222222-2222-4222-8222-222222222222','15731e81-0c49-46d9-822b-a3250c26bf43',0);
INSERT INTO "projects" VALUES('b2222222-2222-4222-8222-222222222222','9533fff1-a273-4c72-b8f6-d263e52fc2a7',1);
CREATE TABLE run_events (
	run_id VARCHAR(36) NOT NULL, 
	n INTEGER NOT NULL, 
	epoch INTEGER NOT NULL, 
	type VARCHAR(50) NOT NULL, 
	payload JSON NOT NULL, 
	final BOOLEAN NOT NULL, 
	published VARCHAR(100), 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (run_id, n), 
	FOREIGN KEY(run_id) REFERENCES runs (id)
);
INSERT INTO "run_events" VALUES('1694bde7-17ff-45ee-a69a-4275abb2b0e2',1,1,'message_received','{"message": {"id": "5a55e5fe-b76b-40b1-bb03-8d7b64e532c0", "session_id": "74934bfb-6d29-4d1d-b422-4f734431bef9", "run_id": "1694bde7-17ff-45ee-a69a-4275abb2b0e2", "role": "user", "content": "Who are you? \ud834\udd1e", "agent_id": null, "timestamp": "2026-11-23T04:30:38.089818+00:00", "metadata": {}}}',0,'c975b569002b-1','2026-11-23 04:30:38.089818');
INSERT INTO "run_events" VALUES('1694bde7-17ff-45ee-a69a-4275abb2b0e2',2,1,'agent_started','{"agent_id": "a1f136fc-7bae-4920-ba51-bd2d189e144f", "agent_name": "Helper", "task_id": "answer"}',0,'c975b569002b-2','2026-11-23 04:30:38.089818');
INSERT INTO "run_events" VALUES('1694bde7-17ff-45ee-a69a-4275abb2b0e2',3,1,'agent_completed','{"agent_id": "a1f136fc-7bae-4920-ba51-bd2d189e144f", "agent_name": "Helper", "task_id": "answer", "output": "A model''s answer: cafe\u0301, \ud834\udd1e and \ud83d\udc69\u200d\ud83d\udc69\u200d\ud83d\udc67, \u4e2d\u6587, and the end.", "usage": {"prompt_tokens": 6, "completion_tokens": 11, "model_calls": 1}, "duration_ms": 361, "message": {"id": "d29d1eb6-84a0-4f77-b540-2fae9f6e137b", "session_id": "74934bfb-6d29-4d1d-b422-4f734431bef9", "run_id": "1694bde7-17ff-45ee-a69a-4275abb2b0e2", "role": "assistant", "content": "A model''s answer: cafe\u0301, \ud834\udd1e and \ud83d\udc69\u200d\ud83d\udc69\u200d\ud83d\udc67, \u4e2d\u6587, and the end.", "agent_id": "a1f136fc-7bae-4920-ba51-bd2d189e144f", "timestamp": "2026-11-23T04:30:38.451131+00:00", "metadata": {}}}',1,'c975b569002b-7','2026-11-23 04:30:38.451131');
INSERT INTO "run_events" VALUES('85eb460b-14c6-4404-bd14-582380a66521',1,1,'message_received','{"message": {"id": "89f05a03-62a8-4fe4-8765-2e5eac8061ae", "session_id": "74934bfb-6d29-4d1d-b422-4f734431bef9", "run_id": "85eb460b-14c6-4404-bd14-582380a66521", "role": "user", "content": "Fail. #model {\"status\": 400}", "agent_id": null, "timestamp": "2026-11-23T04:30:38.469380+00:00", "metadata": {}}}',0,'c975b569002b-8','2026-11-23 04:30:38.469380');
INSERT INTO "run_events" VALUES('85eb460b-14c6-4404-bd14-582380a66521',2,1,'agent_started','{"agent_id": "f9805b1c-57ec-40fe-8b7d-adec27560a01", "agent_name": "CodeAssistant", "task_id": "answer"}',0,'c975b569002b-9','2026-11-23 04:30:38.469380');
INSERT INTO "run_events" VALUES('85eb460b-14c6-4404-bd14-582380a66521',3,1,'agent_failed','{"error": {"reason": "MODEL_REFUSED", "detail": "the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config"}, "task_id": "answer", "agent_id": "f9805b1c-57ec-40fe-8b7d-adec27560a01"}',0,'c975b569002b-14','2026-11-23 04:30:38.480999');
INSERT INTO "run_events" VALUES('85eb460b-14c6-4404-bd14-582380a66521',4,1,'run_failed','{"error": {"reason": "MODEL_REFUSED", "detail": "the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config"}, "task_id": "answer", "agent_id": "f9805b1c-57ec-40fe-8b7d-adec27560a01"}',1,'c975b569002b-15','2026-11-23 04:30:38.480999');
INSERT INTO "run_events" VALUES('cef59433-c5c4-4246-8887-a847302380e2',1,1,'message_received','{"message": {"id": "8e96fbb3-f2a5-4504-b877-896cb94bbd8a", "session_id": "74934bfb-6d29-4d1d-b422-4f734431bef9", "run_id": "cef59433-c5c4-4246-8887-a847302380e2", "role": "user", "content": "Take your time. #model {\"gate\": \"after the upgrade\"}", "agent_id": null, "timestamp": "2026-11-23T04:30:38.492536+00:00", "metadata": {}}}',0,'c975b569002b-16','2026-11-23 04:30:38.492536');
INSERT INTO "run_events" VALUES('cef59433-c5c4-4246-8887-a847302380e2',2,1,'agent_started','{"agent_id": "f9805b1c-57ec-40fe-8b7d-adec27560a01", "agent_name": "CodeAssistant", "task_id": "answer"}',0,'c975b569002b-17','2026-11-23 04:30:38.492536');
INSERT INTO "run_events" VALUES('96db92a5-8cc2-4b40-8f6c-a3f99fa582da',1,0,'message_received','{"message": {"id": "2ab28e2b-258e-419b-a919-e4446da60c3f", "session_id": "74934bfb-6d29-4d1d-b422-4f734431bef9", "run_id": "96db92a5-8cc2-4b40-8f6c-a3f99fa582da", "role": "user", "content": "Afterwards.", "agent_id": null, "timestamp": "2026-11-23T04:30:38.568974+00:00", "metadata": {}}}',0,'c975b569002b-21','2026-11-23 04:30:38.568974');
INSERT INTO "run_events" VALUES('abd6427d-67c6-4858-923c-c6c699c61c0b',1,0,'message_received','{"message": {"id": "3f0bb513-b586-46a9-b039-f38b6b66cc71", "session_id": "74934bfb-6d29-4d1d-b422-4f734431bef9", "run_id": "abd6427d-67c6-4858-923c-c6c699c61c0b", "role": "user", "content": "Never mind.", "agent_id": null, "timestamp": "2026-11-23T04:30:38.598014+00:00", "metadata": {}}}',0,'c975b569002b-22','2026-11-23 04:30:38.598014');
INSERT INTO "run_events" VALUES('abd6427d-67c6-4858-923c-c6c699c61c0b',2,1,'run_cancelled','{"reason": "cancelled"}',1,'c975b569002b-23','2026-11-23 04:30:38.624997');
INSERT INTO "run_events" VALUES('12888251-d846-467b-be52-7afc9ddea4b9',1,1,'message_received','{"message": {"id": "6351b7f2-39e3-4020-8e56-240354c7d2f0", "session_id": "516396e1-b3f7-4549-8bb5-b049df34cb90", "run_id": "12888251-d846-467b-be52-7afc9ddea4b9", "role": "user", "content": "Who are you? \ud834\udd1e", "agent_id": null, "timestamp": "2026-11-23T04:30:39.664924+00:00", "metadata": {}}}',0,'14b409484781-1','2026-11-23 04:30:39.664924');
INSERT INTO "run_events" VALUES('12888251-d846-467b-be52-7afc9ddea4b9',2,1,'agent_started','{"agent_id": "5ff15a7b-b29a-485e-9e18-5b8d9390e9ed", "agent_name": "Helper", "task_id": "answer"}',0,'14b409484781-2','2026-11-23 04:30:39.664924');
INSERT INTO "run_events" VALUES('12888251-d846-467b-be52-7afc9ddea4b9',3,1,'agent_completed','{"agent_id": "5ff15a7b-b29a-485e-9e18-5b8d9390e9ed", "agent_name": "Helper", "task_id": "answer", "output": "A model''s answer: cafe\u0301, \ud834\udd1e and \ud83d\udc69\u200d\ud83d\udc69\u200d\ud83d\udc67, \u4e2d\u6587, and the end.", "usage": {"prompt_tokens": 6, "completion_tokens": 11, "model_calls": 1}, "duration_ms": 29, "message": {"id": "5fee5ac5-2b64-4283-abd6-249ef289ef87", "session_id": "516396e1-b3f7-4549-8bb5-b049df34cb90", "run_id": "12888251-d846-467b-be52-7afc9ddea4b9", "role": "assistant", "content": "A model''s answer: cafe\u0301, \ud834\udd1e and \ud83d\udc69\u200d\ud83d\udc69\u200d\ud83d\udc67, \u4e2d\u6587, and the end.", "agent_id": "5ff15a7b-b29a-485e-9e18-5b8d9390e9ed", "timestamp": "2026-11-23T04:30:39.694209+00:00", "metadata": {}}}',1,'14b409484781-7','2026-11-23 04:30:39.694209');
INSERT INTO "run_events" VALUES('d9233eb2-d08c-4015-98e5-04575bb46f2d',1,1,'message_received','{"message": {"id": "daf5c180-3e36-4964-8f4f-676519a4c303", "session_id": "516396e1-b3f7-4549-8bb5-b049df34cb90", "run_id": "d9233eb2-d08c-4015-98e5-04575bb46f2d", "role": "user", "content": "Fail. #model {\"status\": 400}", "agent_id": null, "timestamp": "2026-11-23T04:30:39.711891+00:00", "metadata": {}}}',0,'14b409484781-8','2026-11-23 04:30:39.711891');
INSERT INTO "run_events" VALUES('d9233eb2-d08c-4015-98e5-04575bb46f2d',2,1,'agent_started','{"agent_id": "c157e9b6-841a-4e89-96bb-b5744929e0fa", "agent_name": "CodeAssistant", "task_id": "answer"}',0,'14b409484781-9','2026-11-23 04:30:39.711891');
INSERT INTO "run_events" VALUES('d9233eb2-d08c-4015-98e5-04575bb46f2d',3,1,'agent_failed','{"error": {"reason": "MODEL_REFUSED", "detail": "the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config"}, "task_id": "answer", "agent_id": "c157e9b6-841a-4e89-96bb-b5744929e0fa"}',0,'14b409484781-14','2026-11-23 04:30:39.733084');
INSERT INTO "run_events" VALUES('d9233eb2-d08c-4015-98e5-04575bb46f2d',4,1,'run_failed','{"error": {"reason": "MODEL_REFUSED", "detail": "the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config"}, "task_id": "answer", "agent_id": "c157e9b6-841a-4e89-96bb-b5744929e0fa"}',1,'14b409484781-15','2026-11-23 04:30:39.733084');
INSERT INTO "run_events" VALUES('bd726b75-2d47-4c68-93b4-f84fb8c1323d',1,1,'message_received','{"message": {"id": "07687802-8ed9-4564-a5c2-75c54028dbf0", "session_id": "516396e1-b3f7-4549-8bb5-b049df34cb90", "run_id": "bd726b75-2d47-4c68-93b4-f84fb8c1323d", "role": "user", "content": "Take your time. #model {\"gate\": \"after the upgrade\"}", "agent_id": null, "timestamp": "2026-11-23T04:30:39.753720+00:00", "metadata": {}}}',0,'14b409484781-16','2026-11-23 04:30:39.753720');
INSERT INTO "run_events" VALUES('bd726b75-2d47-4c68-93b4-f84fb8c1323d',2,1,'agent_started','{"agent_id": "c157e9b6-841a-4e89-96bb-b5744929e0fa", "agent_name": "CodeAssistant", "task_id": "answer"}',0,'14b409484781-17','2026-11-23 04:30:39.753720');
INSERT INTO "run_events" VALUES('a5989cfc-08d6-470b-8a04-1ac8fd499330',1,0,'message_received','{"message": {"id": "94adcf07-ad55-4e6f-a33a-41b113c80821", "session_id": "516396e1-b3f7-4549-8bb5-b049df34cb90", "run_id": "a5989cfc-08d6-470b-8a04-1ac8fd499330", "role": "user", "content": "Afterwards.", "agent_id": null, "timestamp": "2026-11-23T04:30:39.784639+00:00", "metadata": {}}}',0,'14b409484781-21','2026-11-23 04:30:39.784639');
INSERT INTO "run_events" VALUES('ab428642-beee-47f3-b3d4-d9aeba1018a5',1,0,'message_received','{"message": {"id": "1f89a752-d1a1-4c69-b36d-603f770f0908", "session_id": "516396e1-b3f7-4549-8bb5-b049df34cb90", "run_id": "ab428642-beee-47f3-b3d4-d9aeba1018a5", "role": "user", "content": "Never mind.", "agent_id": null, "timestamp": "2026-11-23T04:30:39.793477+00:00", "metadata": {}}}',0,'14b409484781-22','2026-11-23 04:30:39.793477');
INSERT INTO "run_events" VALUES('ab428642-beee-47f3-b3d4-d9aeba1018a5',2,1,'run_cancelled','{"reason": "cancelled"}',1,'14b409484781-23','2026-11-23 04:30:39.801180');
CREATE TABLE run_tasks (
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
	PRIMARY KEY (run_id, id), 
	FOREIGN KEY(run_id) REFERENCES runs (id)
);
INSERT INTO "run_tasks" VALUES('1694bde7-17ff-45ee-a69a-4275abb2b0e2','answer',0,'a1f136fc-7bae-4920-ba51-bd2d189e144f','Helper','Who are you? 𝄞','Who are you? 𝄞','[]','succeeded',1,1,'A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.',NULL,NULL,6,11,1,'2026-11-23 04:30:38.089818','2026-11-23 04:30:38.451131');
INSERT INTO "run_tasks" VALUES('85eb460b-14c6-4404-bd14-582380a66521','answer',0,'f9805b1c-57ec-40fe-8b7d-adec27560a01','CodeAssistant','Fail. #model {"status": 400}','Fail. #model {"status": 400}','[]','failed',1,1,NULL,'MODEL_REFUSED','the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config',0,0,0,'2026-11-23 04:30:38.469380','2026-11-23 04:30:38.480999');
INSERT INTO "run_tasks" VALUES('cef59433-c5c4-4246-8887-a847302380e2','answer',0,'f9805b1c-57ec-40fe-8b7d-adec27560a01','CodeAssistant','Take your time. #model {"gate": "after the upgrade"}','Take your time. #model {"gate": "after the upgrade"}','[]','running',1,1,NULL,NULL,NULL,0,0,0,'2026-11-23 04:30:38.492536',NULL);
INSERT INTO "run_tasks" VALUES('96db92a5-8cc2-4b40-8f6c-a3f99fa582da','answer',0,'f9805b1c-57ec-40fe-8b7d-adec27560a01','CodeAssistant','Afterwards.','Afterwards.','[]','pending',0,0,NULL,NULL,NULL,0,0,0,NULL,NULL);
INSERT INTO "run_tasks" VALUES('abd6427d-67c6-4858-923c-c6c699c61c0b','answer',0,'f9805b1c-57ec-40fe-8b7d-adec27560a01','CodeAssistant','Never mind.','Never mind.','[]','cancelled',0,0,NULL,NULL,NULL,0,0,0,NULL,'2026-11-23 04:30:38.624997');
INSERT INTO "run_tasks" VALUES('12888251-d846-467b-be52-7afc9ddea4b9','answer',0,'5ff15a7b-b29a-485e-9e18-5b8d9390e9ed','Helper','Who are you? 𝄞','Who are you? 𝄞','[]','succeeded',1,1,'A model''s answer: café, 𝄞 and 👩‍👩‍👧, 中文, and the end.',NULL,NULL,6,11,1,'2026-11-23 04:30:39.664924','2026-11-23 04:30:39.694209');
INSERT INTO "run_tasks" VALUES('d9233eb2-d08c-4015-98e5-04575bb46f2d','answer',0,'c157e9b6-841a-4e89-96bb-b5744929e0fa','CodeAssistant','Fail. #model {"status": 400}','Fail. #model {"status": 400}','[]','failed',1,1,NULL,'MODEL_REFUSED','the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config',0,0,0,'2026-11-23 04:30:39.711891','2026-11-23 04:30:39.733084');
INSERT INTO "run_tasks" VALUES('bd726b75-2d47-4c68-93b4-f84fb8c1323d','answer',0,'c157e9b6-841a-4e89-96bb-b5744929e0fa','CodeAssistant','Take your time. #model {"gate": "after the upgrade"}','Take your time. #model {"gate": "after the upgrade"}','[]','running',1,1,NULL,NULL,NULL,0,0,0,'2026-11-23 04:30:39.753720',NULL);
INSERT INTO "run_tasks" VALUES('a5989cfc-08d6-470b-8a04-1ac8fd499330','answer',0,'c157e9b6-841a-4e89-96bb-b5744929e0fa','CodeAssistant','Afterwards.','Afterwards.','[]','pending',0,0,NULL,NULL,NULL,0,0,0,NULL,NULL);
INSERT INTO "run_tasks" VALUES('ab428642-beee-47f3-b3d4-d9aeba1018a5','answer',0,'c157e9b6-841a-4e89-96bb-b5744929e0fa','CodeAssistant','Never mind.','Never mind.','[]','cancelled',0,0,NULL,NULL,NULL,0,0,0,NULL,'2026-11-23 04:30:39.801180');
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
	UNIQUE (session_id, position), 
	FOREIGN KEY(session_id) REFERENCES chat_sessions (id)
);
INSERT INTO "runs" VALUES('1694bde7-17ff-45ee-a69a-4275abb2b0e2','74934bfb-6d29-4d1d-b422-4f734431bef9','e75ae69a-4104-46f4-917d-04d101b6104a','a1111111-1111-4111-8111-111111111111','direct','succeeded',0,'d29d1eb6-84a0-4f77-b540-2fae9f6e137b',1,NULL,NULL,NULL,NULL,6,11,1,NULL,1,1795408243.45298,0,3,'c975b569002b-7','2026-11-23 04:30:38.089818','2026-11-23 04:30:38.089818','2026-11-23 04:30:38.451131');
INSERT INTO "runs" VALUES('85eb460b-14c6-4404-bd14-582380a66521','74934bfb-6d29-4d1d-b422-4f734431bef9','e75ae69a-4104-46f4-917d-04d101b6104a','a1111111-1111-4111-8111-111111111111','direct','failed',1,'fed9d588-b804-4c7b-8559-cad9c3d79788',0,NULL,'MODEL_REFUSED','the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config',NULL,0,0,0,NULL,1,1.79540824348299384114e+09,0,4,'c975b569002b-15','2026-11-23 04:30:38.469380','2026-11-23 04:30:38.469380','2026-11-23 04:30:38.480999');
INSERT INTO "runs" VALUES('cef59433-c5c4-4246-8887-a847302380e2','74934bfb-6d29-4d1d-b422-4f734431bef9','e75ae69a-4104-46f4-917d-04d101b6104a','a1111111-1111-4111-8111-111111111111','direct','running',2,'3b5e7699-9b79-4d04-95cf-0b8de968feb7',0,NULL,NULL,NULL,NULL,0,0,0,'ea65702b-e8bc-4372-a1fa-d8e6396e0490',1,1.79540824614200162888e+09,0,2,'c975b569002b-17','2026-11-23 04:30:38.492536','2026-11-23 04:30:38.492536',NULL);
INSERT INTO "runs" VALUES('96db92a5-8cc2-4b40-8f6c-a3f99fa582da','74934bfb-6d29-4d1d-b422-4f734431bef9','e75ae69a-4104-46f4-917d-04d101b6104a','a1111111-1111-4111-8111-111111111111','direct','queued',3,'8c58f324-85b8-4cc9-b706-103604205c2c',0,NULL,NULL,NULL,NULL,0,0,0,NULL,0,1.79540824356901216512e+09,0,1,'c975b569002b-21','2026-11-23 04:30:38.568974',NULL,NULL);
INSERT INTO "runs" VALUES('abd6427d-67c6-4858-923c-c6c699c61c0b','74934bfb-6d29-4d1d-b422-4f734431bef9','e75ae69a-4104-46f4-917d-04d101b6104a','a1111111-1111-4111-8111-111111111111','direct','cancelled',4,'62171eda-92e3-4a72-abb4-04a1ac4a6dc9',0,NULL,NULL,NULL,NULL,0,0,0,NULL,1,1795408243.59798,0,2,'c975b569002b-23','2026-11-23 04:30:38.598014',NULL,'2026-11-23 04:30:38.624997');
INSERT INTO "runs" VALUES('12888251-d846-467b-be52-7afc9ddea4b9','516396e1-b3f7-4549-8bb5-b049df34cb90','15731e81-0c49-46d9-822b-a3250c26bf43','b2222222-2222-4222-8222-222222222222','direct','succeeded',0,'5fee5ac5-2b64-4283-abd6-249ef289ef87',1,NULL,NULL,NULL,NULL,6,11,1,NULL,1,1.79540824469401121138e+09,0,3,'14b409484781-7','2026-11-23 04:30:39.664924','2026-11-23 04:30:39.664924','2026-11-23 04:30:39.694209');
INSERT INTO "runs" VALUES('d9233eb2-d08c-4015-98e5-04575bb46f2d','516396e1-b3f7-4549-8bb5-b049df34cb90','15731e81-0c49-46d9-822b-a3250c26bf43','b2222222-2222-4222-8222-222222222222','direct','failed',1,'1de56022-2924-4379-8c30-494dc015436f',0,NULL,'MODEL_REFUSED','the model''s endpoint refused the request to model fake-model (HTTP 400): check the agent''s model and config',NULL,0,0,0,NULL,1,1.79540824473299717905e+09,0,4,'14b409484781-15','2026-11-23 04:30:39.711891','2026-11-23 04:30:39.711891','2026-11-23 04:30:39.733084');
INSERT INTO "runs" VALUES('bd726b75-2d47-4c68-93b4-f84fb8c1323d','516396e1-b3f7-4549-8bb5-b049df34cb90','15731e81-0c49-46d9-822b-a3250c26bf43','b2222222-2222-4222-8222-222222222222','direct','running',2,'711f8093-3ff7-4365-ba8c-6b6461f48e09',0,NULL,NULL,NULL,NULL,0,0,0,'ea65702b-e8bc-4372-a1fa-d8e6396e0490',1,1.79540824614200162888e+09,0,2,'14b409484781-17','2026-11-23 04:30:39.753720','2026-11-23 04:30:39.753720',NULL);
INSERT INTO "runs" VALUES('a5989cfc-08d6-470b-8a04-1ac8fd499330','516396e1-b3f7-4549-8bb5-b049df34cb90','15731e81-0c49-46d9-822b-a3250c26bf43','b2222222-2222-4222-8222-222222222222','direct','queued',3,'8bdc0934-71d3-4948-b5b7-3aec94ed2063',0,NULL,NULL,NULL,NULL,0,0,0,NULL,0,1.79540824478501844408e+09,0,1,'14b409484781-21','2026-11-23 04:30:39.784639',NULL,NULL);
INSERT INTO "runs" VALUES('ab428642-beee-47f3-b3d4-d9aeba1018a5','516396e1-b3f7-4549-8bb5-b049df34cb90','15731e81-0c49-46d9-822b-a3250c26bf43','b2222222-2222-4222-8222-222222222222','direct','cancelled',4,'a760d5f7-6bba-4714-9b88-4326e063eb8e',0,NULL,NULL,NULL,NULL,0,0,0,NULL,1,1.79540824479399061201e+09,0,2,'14b409484781-23','2026-11-23 04:30:39.793477',NULL,'2026-11-23 04:30:39.801180');
CREATE INDEX ix_idempotency_keys_created_at ON idempotency_keys (created_at);
CREATE INDEX ix_chat_sessions_deleted ON chat_sessions (id) WHERE deleted IS 1;
CREATE INDEX ix_chat_sessions_owner ON chat_sessions (user_id, project_id, created_at, id);
CREATE INDEX ix_runs_owner ON runs (user_id, project_id, created_at, id);
CREATE INDEX ix_runs_lease ON runs (state, lease_until);
CREATE UNIQUE INDEX ux_runs_active ON runs (session_id) WHERE state IN ('planning', 'running', 'waiting_approval');
CREATE INDEX ix_run_events_unpublished ON run_events (created_at) WHERE published IS NULL;
COMMIT;
