BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE idempotency_keys (
	user_id VARCHAR(36) NOT NULL, 
	scope VARCHAR(40) NOT NULL, 
	request_id VARCHAR(128) NOT NULL, 
	fingerprint VARCHAR(64) NOT NULL, 
	resource_id VARCHAR(36) NOT NULL, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (user_id, scope, request_id)
);
INSERT INTO "idempotency_keys" VALUES('a1111111-1111-4111-8111-111111111111','CreateProject','kept-over-the-upgrade','83920925a7fa6d08fd73111768736c56f0fa5ac2ffcc87826db747a399176a56','8c62b3cd-d0c8-43a6-99c1-6f87ca130f06','2026-11-27 11:32:11.244861');
INSERT INTO "idempotency_keys" VALUES('b2222222-2222-4222-8222-222222222222','CreateProject','kept-over-the-upgrade','83920925a7fa6d08fd73111768736c56f0fa5ac2ffcc87826db747a399176a56','b7ab2cc0-51d8-426c-b0e9-9c275d39e98b','2026-11-27 11:32:12.335056');
CREATE TABLE user_projects (
	id VARCHAR(36) NOT NULL, 
	user_id VARCHAR(36) NOT NULL, 
	name VARCHAR(200) NOT NULL, 
	workspace_path VARCHAR(1000), 
	state VARCHAR(12) NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	due_at DATETIME, 
	removal_attempts INTEGER NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(user_id) REFERENCES users (id)
);
INSERT INTO "user_projects" VALUES('8c62b3cd-d0c8-43a6-99c1-6f87ca130f06','a1111111-1111-4111-8111-111111111111','Lab',NULL,'active','2026-11-27 11:32:11.244861','2026-11-27 11:32:11.244861',NULL,0);
INSERT INTO "user_projects" VALUES('b7ab2cc0-51d8-426c-b0e9-9c275d39e98b','b2222222-2222-4222-8222-222222222222','Lab',NULL,'active','2026-11-27 11:32:12.335056','2026-11-27 11:32:12.335056',NULL,0);
CREATE TABLE users (
	id VARCHAR(36) NOT NULL, 
	email VARCHAR(320), 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (email)
);
INSERT INTO "users" VALUES('a1111111-1111-4111-8111-111111111111',NULL,'2026-11-27 11:32:11.237339');
INSERT INTO "users" VALUES('b2222222-2222-4222-8222-222222222222',NULL,'2026-11-27 11:32:12.333783');
CREATE INDEX ix_idempotency_keys_created_at ON idempotency_keys (created_at);
CREATE INDEX ix_user_projects_due_at ON user_projects (due_at);
CREATE INDEX user_projects_in_order ON user_projects (user_id, state, created_at, id);
COMMIT;
