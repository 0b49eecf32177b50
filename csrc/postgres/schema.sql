-- What `logmein store init` makes in a database. The store's role may call these
-- functions, and can do nothing else: it sees no table. Functions carry a version, so
-- that programs of two versions work on one database; a new version adds functions
-- and leaves the old ones.
--
-- Running this again changes nothing but the functions' bodies. Who changes it counts
-- SCHEMA in prepare.c up: an older program's init then leaves all of it alone.

CREATE SCHEMA IF NOT EXISTS logmein;

-- Which store this is, in one row: another one in its place has another incarnation.
CREATE TABLE IF NOT EXISTS logmein.identity (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    incarnation uuid NOT NULL DEFAULT gen_random_uuid()
);
INSERT INTO logmein.identity DEFAULT VALUES ON CONFLICT DO NOTHING;

-- The two parts, durable (0) and volatile (1), and their marks.
CREATE TABLE IF NOT EXISTS logmein.part (
    part smallint PRIMARY KEY,
    mark smallint NOT NULL DEFAULT 0,
    other text NOT NULL DEFAULT ''
);
INSERT INTO logmein.part (part) VALUES (0), (1) ON CONFLICT DO NOTHING;

-- Entries: id is the kind and the key, a group of no bytes is none.
CREATE TABLE IF NOT EXISTS logmein.entry (
    part smallint NOT NULL,
    id bytea NOT NULL,
    expires bigint NOT NULL,
    grp bytea NOT NULL,
    capped boolean NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (part, id)
);
CREATE INDEX IF NOT EXISTS entry_group ON logmein.entry (part, grp, expires, id) WHERE grp <> '';
CREATE INDEX IF NOT EXISTS entry_expires ON logmein.entry (part, expires);

-- The batches of the last minutes, and whether they were done: who has lost an answer
-- sends the same batch again, and learns it here. The id is eight bytes of time, the
-- seconds since 1970, and sixteen random ones.
CREATE TABLE IF NOT EXISTS logmein.batch (
    id bytea PRIMARY KEY,
    done boolean NOT NULL DEFAULT true,
    again integer NOT NULL DEFAULT 0
);

-- A connection plans each statement once, perhaps while there are few rows, and keeps the
-- plan when there are many. So each finds its rows by an index, whatever their number, and
-- those that go are removed one by one, by their keys.

-- Advisory locks, by their first number: 0 to run this; 1 to change a part, which only
-- lmi_hold_v1() takes alone; 2 and 3 for a group of part 0 and 1; 4 to purge.
CREATE OR REPLACE FUNCTION logmein.lmi_lock_class(which integer) RETURNS integer
LANGUAGE sql IMMUTABLE AS $$ SELECT 1280133376 + which $$;

-- The first bytes behind all that begin with the prefix; a group has 64 at most.
CREATE OR REPLACE FUNCTION logmein.lmi_behind(prefix bytea) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    FOR at IN REVERSE length(prefix) - 1 .. 0 LOOP
        IF get_byte(prefix, at) < 255 THEN
            RETURN set_byte(substr(prefix, 1, at + 1), at, get_byte(prefix, at) + 1);
        END IF;
    END LOOP;
    RETURN decode(repeat('ff', 65), 'hex');
END $$;

-- Waits for who holds the part, and says whether its mark forbids what follows. Each
-- statement of a caller that follows sees what was committed before it, which needs
-- READ COMMITTED.
CREATE OR REPLACE FUNCTION logmein.lmi_enter(
    which smallint, heed boolean, OUT mark smallint, OUT other text
) LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'the store needs transactions that are READ COMMITTED';
    END IF;
    PERFORM pg_advisory_xact_lock_shared(logmein.lmi_lock_class(1), which);
    SELECT p.mark, p.other INTO mark, other FROM logmein.part p WHERE p.part = which;
    IF NOT heed THEN
        mark := 0;
    END IF;
END $$;

-- Nobody may make the durable part less durable, or wait for the volatile one.
CREATE OR REPLACE FUNCTION logmein.lmi_wait_for(durable boolean) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT durable THEN
        PERFORM set_config('synchronous_commit', 'off', true);
    ELSIF current_setting('synchronous_commit') NOT IN ('on', 'remote_apply') THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
END $$;

-- A batch, as a whole or not at all: 0 not done, 1 done, 2 the part is marked. One that
-- is sent again is not done twice, and one that was on its way for a minute not at all.
--
-- The locks come first, each by a statement of its own: a group that is dropped is
-- locked alone, one that is put into is shared. Without it, what another transaction
-- puts into the group and commits while it is dropped would stay. Then rows in the
-- order of their keys.
CREATE OR REPLACE FUNCTION logmein.lmi_apply_v1(
    batch bytea, which smallint, heed boolean, now bigint,
    verbs integer[], ids bytea[], expiries bigint[], groups bytea[], caps bigint[],
    vals bytea[], olds bytea[],
    OUT outcome integer, OUT mark smallint, OUT other text
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    wanted record;
    this record;
    times integer;
    excess bigint;
    shared bytea;
    count CONSTANT integer := coalesce(array_length(verbs, 1), 0);
BEGIN
    outcome := 2;
    IF batch < int8send(extract(epoch FROM clock_timestamp())::bigint - 60) THEN
        RAISE EXCEPTION 'the batch is too old';
    END IF;
    PERFORM logmein.lmi_wait_for(which = 0);
    SELECT e.mark, e.other INTO mark, other FROM logmein.lmi_enter(which, heed) e;
    IF mark <> 0 THEN
        RETURN;
    END IF;
    FOR wanted IN
        SELECT ('x' || left(encode(sha256(g.grp), 'hex'), 8))::bit(32)::integer AS number,
               bool_or(g.verb = 4) AS alone
        FROM unnest(verbs, groups) AS g(verb, grp)
        WHERE g.grp <> '' GROUP BY 1 ORDER BY 1
    LOOP
        IF wanted.alone THEN
            PERFORM pg_advisory_xact_lock(logmein.lmi_lock_class(2 + which), wanted.number);
        ELSE
            PERFORM pg_advisory_xact_lock_shared(logmein.lmi_lock_class(2 + which), wanted.number);
        END IF;
    END LOOP;
    FOR this IN SELECT g.id FROM unnest(ids) AS g(id) WHERE count > 1 ORDER BY g.id LOOP
        PERFORM 1 FROM logmein.entry e WHERE e.part = which AND e.id = this.id FOR UPDATE;
    END LOOP;

    INSERT INTO logmein.batch AS b (id) VALUES (lmi_apply_v1.batch)
    ON CONFLICT (id) DO UPDATE SET again = b.again + 1
    RETURNING again, done::integer INTO times, outcome;
    IF times > 0 THEN
        RETURN;
    END IF;
    BEGIN
        FOR i IN 1 .. count LOOP
            CASE verbs[i]
            WHEN 0 THEN
                INSERT INTO logmein.entry (part, id, expires, grp, capped, value)
                VALUES (which, ids[i], expiries[i], groups[i], caps[i] > 0, vals[i])
                ON CONFLICT (part, id) DO NOTHING;
            WHEN 1 THEN
                UPDATE logmein.entry e SET expires = expiries[i], grp = groups[i],
                    capped = caps[i] > 0, value = vals[i]
                WHERE e.part = which AND e.id = ids[i] AND e.value = olds[i];
            WHEN 2 THEN
                INSERT INTO logmein.entry AS e (part, id, expires, grp, capped, value)
                VALUES (which, ids[i], expiries[i], groups[i], caps[i] > 0, vals[i])
                ON CONFLICT (part, id) DO UPDATE SET expires = excluded.expires,
                    grp = excluded.grp, capped = excluded.capped, value = excluded.value;
            WHEN 3 THEN
                DELETE FROM logmein.entry e WHERE e.part = which AND e.id = ids[i];
            WHEN 4 THEN
                FOR this IN
                    SELECT e.id FROM logmein.entry e
                    WHERE e.part = which AND e.grp = groups[i] AND e.grp <> ''
                    ORDER BY e.id FOR UPDATE
                LOOP
                    DELETE FROM logmein.entry e WHERE e.part = which AND e.id = this.id;
                END LOOP;
            END CASE;
            IF verbs[i] < 2 AND NOT FOUND THEN
                RAISE SQLSTATE 'LM001';
            END IF;
            -- Counting costs as much as there are entries: seldom, where these are many.
            IF verbs[i] < 3 AND caps[i] > 0 AND random() * caps[i] < 100 THEN
                shared := substr(groups[i], 1, 2);
                SELECT count(*) - caps[i] INTO excess FROM logmein.entry e
                WHERE e.part = which AND e.grp <> '' AND e.grp >= shared
                    AND e.grp < logmein.lmi_behind(shared);
                FOR this IN
                    SELECT e.id FROM logmein.entry e
                    WHERE e.part = which AND e.grp <> '' AND e.grp >= shared
                        AND e.grp < logmein.lmi_behind(shared) AND e.id <> ids[i]
                    ORDER BY e.grp, e.expires, e.id
                    LIMIT greatest(excess, 0) FOR UPDATE SKIP LOCKED
                LOOP
                    DELETE FROM logmein.entry e WHERE e.part = which AND e.id = this.id;
                END LOOP;
            END IF;
        END LOOP;
    EXCEPTION WHEN SQLSTATE 'LM001' THEN
        UPDATE logmein.batch b SET done = false WHERE b.id = lmi_apply_v1.batch;
        outcome := 0;
        RETURN;
    END;
    -- In one batch of eight, by one at a time, and not by a clock that is an hour ahead of
    -- this server's.
    IF random() < 0.125 AND now <= extract(epoch FROM clock_timestamp()) + 3600
        AND pg_try_advisory_xact_lock(logmein.lmi_lock_class(4), which) THEN
        PERFORM logmein.lmi_remove(which, now, 128);
    END IF;
END $$;

-- Removes what expired, but for what others are changing, and old batches.
CREATE OR REPLACE FUNCTION logmein.lmi_remove(which smallint, now bigint, most bigint)
RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    this record;
    removed integer := 0;
    old CONSTANT bytea := int8send(extract(epoch FROM clock_timestamp())::bigint - 600);
BEGIN
    FOR this IN
        SELECT e.id FROM logmein.entry e WHERE e.part = which AND e.expires < now
        ORDER BY e.expires LIMIT most FOR UPDATE SKIP LOCKED
    LOOP
        DELETE FROM logmein.entry e WHERE e.part = which AND e.id = this.id;
        removed := removed + 1;
    END LOOP;
    FOR this IN
        SELECT b.id FROM logmein.batch b WHERE b.id < old
        ORDER BY b.id LIMIT most FOR UPDATE SKIP LOCKED
    LOOP
        DELETE FROM logmein.batch b WHERE b.id = this.id;
    END LOOP;
    RETURN removed;
END $$;

CREATE OR REPLACE FUNCTION logmein.lmi_purge_v1(
    which smallint, heed boolean, now bigint, most bigint,
    OUT removed integer, OUT mark smallint, OUT other text
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    SELECT e.mark, e.other INTO mark, other FROM logmein.lmi_enter(which, heed) e;
    removed := CASE WHEN mark = 0 THEN logmein.lmi_remove(which, now, most) ELSE 0 END;
END $$;

-- The entries that are there, by their places in the question. If one is not, and its
-- part is marked, a row without a place tells that.
--
-- Each check of a session calls this. A search path of its own would take a tenth of the
-- time, so that every function and operator is named with its schema instead.
CREATE OR REPLACE FUNCTION logmein.lmi_get_v1(parts integer[], ids bytea[], heed boolean)
RETURNS TABLE (place integer, value bytea, mark smallint, other text)
LANGUAGE plpgsql STABLE SECURITY DEFINER AS $$
BEGIN
    FOR i IN 1 .. pg_catalog.array_length(ids, 1) LOOP
        place := i OPERATOR(pg_catalog.-) 1;
        SELECT e.value INTO value FROM logmein.entry e
        WHERE e.part OPERATOR(pg_catalog.=) parts[i] AND e.id OPERATOR(pg_catalog.=) ids[i];
        IF FOUND THEN
            RETURN NEXT;
        ELSIF heed THEN
            SELECT NULL, p.mark, p.other INTO place, mark, other FROM logmein.part p
            WHERE p.part OPERATOR(pg_catalog.=) parts[i] AND p.mark OPERATOR(pg_catalog.<>) 0;
            IF FOUND THEN
                RETURN NEXT;
                RETURN;
            END IF;
        END IF;
    END LOOP;
END $$;

-- Entries by pages: of a group's prefix in the order of groups, or all in that of
-- their ids. Nothing found, and a mark: one row that tells it.
CREATE OR REPLACE FUNCTION logmein.lmi_next_v1(
    which smallint, heed boolean, prefix bytea,
    after_grp bytea, after_expires bigint, after_id bytea, most bigint
) RETURNS TABLE (id bytea, expires bigint, grp bytea, capped boolean, value bytea,
    mark smallint, other text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY SELECT e.id, e.expires, e.grp, e.capped, e.value, 0::smallint, ''
    FROM logmein.entry e
    WHERE e.part = which AND e.grp <> '' AND e.grp < logmein.lmi_behind(prefix)
        AND (e.grp, e.expires, e.id) > (after_grp, after_expires, after_id)
    ORDER BY e.grp, e.expires, e.id LIMIT most;
    IF NOT FOUND AND heed THEN
        RETURN QUERY SELECT NULL::bytea, NULL::bigint, NULL::bytea, NULL::boolean, NULL::bytea,
            p.mark, p.other FROM logmein.part p WHERE p.part = which AND p.mark <> 0;
    END IF;
END $$;

-- How many of a group's prefix there are, up to `most`; and the mark if there are none.
CREATE OR REPLACE FUNCTION logmein.lmi_count_v1(
    which smallint, heed boolean, prefix bytea, most bigint,
    OUT entries bigint, OUT mark smallint, OUT other text
) LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    SELECT count(*) INTO entries FROM (
        SELECT FROM logmein.entry e
        WHERE e.part = which AND e.grp <> '' AND e.grp >= prefix
            AND e.grp < logmein.lmi_behind(prefix)
        LIMIT most) e;
    mark := 0;
    IF entries = 0 AND heed THEN
        SELECT p.mark, p.other INTO mark, other FROM logmein.part p WHERE p.part = which;
    END IF;
END $$;

CREATE OR REPLACE FUNCTION logmein.lmi_walk_v1(
    which smallint, heed boolean, after_id bytea, most bigint
) RETURNS TABLE (id bytea, expires bigint, grp bytea, capped boolean, value bytea,
    mark smallint, other text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY SELECT e.id, e.expires, e.grp, e.capped, e.value, p.mark, p.other
    FROM logmein.part p LEFT JOIN LATERAL (
        SELECT * FROM logmein.entry d WHERE d.part = which AND d.id > after_id
            AND (p.mark = 0 OR NOT heed)
        ORDER BY d.id LIMIT most) e ON true
    WHERE p.part = which ORDER BY e.id;
END $$;

-- All changes of the part wait until it is released, or this connection ends, which it
-- does when it has been idle for half a minute.
CREATE OR REPLACE FUNCTION logmein.lmi_hold_v1(which smallint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM set_config('idle_session_timeout', '30000', false);
    PERFORM pg_advisory_lock(logmein.lmi_lock_class(1), which);
END $$;

CREATE OR REPLACE FUNCTION logmein.lmi_release_v1(which smallint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_unlock(logmein.lmi_lock_class(1), which);
    PERFORM set_config('idle_session_timeout', '0', false);
END $$;

CREATE OR REPLACE FUNCTION logmein.lmi_mark_put_v1(
    which smallint, state smallint, place text, emptied boolean
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM logmein.lmi_wait_for(true);
    PERFORM pg_advisory_xact_lock(logmein.lmi_lock_class(1), which);
    UPDATE logmein.part p SET mark = state, other = place WHERE p.part = which;
    IF emptied THEN
        DELETE FROM logmein.entry e WHERE e.part = which;
    END IF;
END $$;

CREATE OR REPLACE FUNCTION logmein.lmi_mark_get_v1(
    which smallint, OUT mark smallint, OUT other text
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT p.mark, p.other FROM logmein.part p WHERE p.part = which
$$;

-- Do this server and the standbys that acknowledge a commit make a majority of all
-- machines, which are this server and those in the list? own is this server's name, which
-- may stand there, too. Of what "*" names it can't be told.
CREATE OR REPLACE FUNCTION logmein.lmi_is_majority(standbys text, own text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    counted CONSTANT text[] :=
        regexp_match(standbys, '^\s*(?:(?:any|first)\s*)?([0-9]+)\s*\((.*)\)\s*$', 'i');
    needed CONSTANT integer := coalesce(counted[1]::integer, 1);
    named integer;
    stars integer;
BEGIN
    SELECT count(DISTINCT name) FILTER (WHERE name <> lower(own)), count(*) FILTER (WHERE name = '*')
    INTO named, stars
    FROM (SELECT lower(coalesce(replace(word[1], '""', '"'), word[2])) AS name
          FROM regexp_matches(coalesce(counted[2], standbys),
              '"((?:[^"]|"")*)"|([^\s,"]+)', 'g') AS word) words;
    RETURN stars = 0 AND named > 0 AND (needed + 1) * 2 > named + 1;
END $$;

-- What a commit relies on. It differs once the server has read its configuration again,
-- even if that says the same.
CREATE OR REPLACE FUNCTION logmein.lmi_promise() RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT extract(epoch FROM pg_conf_load_time()) || ' ' || current_setting('fsync') || ' '
        || current_setting('full_page_writes') || ' ' || current_setting('synchronous_standby_names')
$$;

-- Asked behind each durable commit, in the same round trip; and who listens hears that
-- sessions may have ended. That is not in the transaction itself, for those that notify
-- wait for each other.
CREATE OR REPLACE FUNCTION logmein.lmi_after_v1(ends boolean) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF ends THEN
        PERFORM logmein.lmi_wait_for(false);
        PERFORM pg_notify('logmein_endings', '');
    END IF;
    RETURN logmein.lmi_promise();
END $$;

-- A durable write of no consequence: who is acknowledged it was not replaced before.
CREATE OR REPLACE FUNCTION logmein.lmi_lease_v1() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM logmein.lmi_wait_for(true);
    PERFORM pg_logical_emit_message(true, 'logmein', '');
END $$;

-- Which store, by which clock, and what its server promises; and for how many
-- milliseconds some of its processes may act on an older configuration.
CREATE OR REPLACE FUNCTION logmein.lmi_hello_v1(
    OUT incarnation text, OUT clock bigint, OUT safe boolean, OUT majority boolean,
    OUT promise text, OUT unsettled integer
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT s.system_identifier::text || ' ' || i.incarnation::text,
        floor(extract(epoch FROM clock_timestamp()))::bigint,
        current_setting('fsync')::boolean AND current_setting('full_page_writes')::boolean,
        logmein.lmi_is_majority(current_setting('synchronous_standby_names'),
            current_setting('cluster_name')),
        logmein.lmi_promise(),
        greatest(0, 1000 - floor(extract(epoch FROM clock_timestamp() - pg_conf_load_time())
            * 1000))::integer
    FROM logmein.identity i, pg_control_system() s
$$;

-- Makes a role that may call the functions with a version, and gives it a password
-- unless that is NULL.
CREATE OR REPLACE FUNCTION logmein.lmi_admit(role text, verifier text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    callable regprocedure;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = role) THEN
        EXECUTE format('CREATE ROLE %I LOGIN', role);
    END IF;
    IF verifier IS NOT NULL THEN
        EXECUTE format('ALTER ROLE %I PASSWORD %L', role, verifier);
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA logmein TO %I', role);
    FOR callable IN SELECT oid FROM pg_catalog.pg_proc
        WHERE pronamespace = 'logmein'::regnamespace AND proname ~ '^lmi_[a-z_]+_v[0-9]+$'
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', callable, role);
    END LOOP;
END $$;

-- PUBLIC may call functions unless it is taken away.
REVOKE ALL ON SCHEMA logmein FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA logmein FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA logmein FROM PUBLIC;
