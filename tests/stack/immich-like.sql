-- A database in the manner of Immich's, small: the tables whose names and columns the scripts rely on,
-- and what makes a dump of it hard to load - extensions whose functions call each other without a
-- schema, and an index made of them.
CREATE EXTENSION "uuid-ossp";
CREATE EXTENSION unaccent;
CREATE EXTENSION pg_trgm;
CREATE EXTENSION cube;
CREATE EXTENSION earthdistance;

CREATE TYPE asset_visibility_enum AS ENUM ('archive', 'timeline', 'hidden', 'locked');

CREATE FUNCTION f_unaccent(text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
  AS $$ SELECT unaccent('unaccent', $1) $$;

CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW."updatedAt" = clock_timestamp();
  RETURN NEW;
END $$;

CREATE TABLE "user" (
  id uuid PRIMARY KEY DEFAULT uuid_generate_v4(),
  email text NOT NULL UNIQUE,
  name text NOT NULL DEFAULT '',
  password text NOT NULL,
  "isAdmin" boolean NOT NULL DEFAULT false,
  "quotaSizeInBytes" bigint
);

CREATE TABLE asset (
  id uuid PRIMARY KEY DEFAULT uuid_generate_v4(),
  "ownerId" uuid NOT NULL REFERENCES "user" ON DELETE CASCADE,
  type text NOT NULL,
  "originalPath" text NOT NULL,
  "originalFileName" text NOT NULL,
  checksum bytea NOT NULL,
  "isExternal" boolean NOT NULL DEFAULT false,
  "fileCreatedAt" timestamptz NOT NULL DEFAULT now(),
  "deletedAt" timestamptz,
  "updatedAt" timestamptz NOT NULL DEFAULT now(),
  visibility asset_visibility_enum NOT NULL DEFAULT 'timeline'
);
CREATE UNIQUE INDEX asset_owner_checksum ON asset ("ownerId", checksum);
CREATE INDEX asset_name_trigram ON asset USING gin (f_unaccent("originalFileName") gin_trgm_ops);
CREATE TRIGGER asset_stamp BEFORE UPDATE ON asset FOR EACH ROW EXECUTE FUNCTION stamp();

CREATE TABLE asset_exif (
  "assetId" uuid PRIMARY KEY REFERENCES asset ON DELETE CASCADE,
  description text NOT NULL DEFAULT '',
  "fileSizeInByte" bigint,
  latitude double precision,
  longitude double precision
);

CREATE TABLE album (
  id uuid PRIMARY KEY DEFAULT uuid_generate_v4(),
  "albumName" text NOT NULL DEFAULT 'Untitled'
);
CREATE TABLE album_asset (
  "albumId" uuid REFERENCES album ON DELETE CASCADE,
  "assetId" uuid REFERENCES asset ON DELETE CASCADE,
  PRIMARY KEY ("albumId", "assetId")
);

CREATE TABLE system_metadata (key text PRIMARY KEY, value jsonb NOT NULL);

CREATE UNLOGGED TABLE geodata_places (
  id integer PRIMARY KEY,
  name text NOT NULL,
  latitude double precision NOT NULL,
  longitude double precision NOT NULL
);
-- Its functions name types and functions of `cube` as they stand: with an empty search_path this
-- index cannot be made.
CREATE INDEX geodata_earth ON geodata_places USING gist (ll_to_earth(latitude, longitude));

INSERT INTO "user" (id, email, name, password, "isAdmin") VALUES
  ('11111111-1111-4111-8111-111111111111', 'admin@example.org', 'Ada', '$2b$10$notapassword', true),
  ('22222222-2222-4222-8222-222222222222', 'ben@example.org', 'Ben', '$2b$10$notapassword', false);
INSERT INTO album (id, "albumName") VALUES ('33333333-3333-4333-8333-333333333333', E'tab\there, back\\slash, line\nbreak');
INSERT INTO geodata_places VALUES (1, 'Oslo', 59.91, 10.75), (2, 'Wien', 48.21, 16.37);
-- What a careless reader of dumps would take for the dump's own lines.
INSERT INTO system_metadata VALUES ('odd', to_jsonb(E'x\nCREATE TABLE not_one (\n-- PostgreSQL database dump complete'::text));
