-- Holds: stock kept for a customer until it is confirmed, released or expired. Idempotent by key, with a verdict an
-- item, in the order of the arrays.

-- Holds what there is.
-- verdict: held | sold_out | limit_reached | not_found; a refused request leaves nothing, so it may be tried again.
-- A key that is known: held, confirmed, released or expired as it stands now, or conflict when the request differs.
CREATE FUNCTION product.hold_stock(
    keys text[], product_ids uuid[], customer_ids uuid[], quantities integer[], ttl_seconds integer[], tags text[]
) RETURNS TABLE (ord integer, verdict text, expires_at timestamptz)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    requests integer := cardinality(keys);
    -- Of the requests that are new, in the order of the arrays.
    fresh    integer[];
    refused  text[];
BEGIN
    IF cardinality(product_ids) IS DISTINCT FROM requests OR cardinality(customer_ids) IS DISTINCT FROM requests
        OR cardinality(quantities) IS DISTINCT FROM requests OR cardinality(ttl_seconds) IS DISTINCT FROM requests
        OR cardinality(tags) IS DISTINCT FROM requests
    THEN
        RAISE EXCEPTION 'the arrays differ in length' USING ERRCODE = 'invalid_parameter_value';
    END IF;

    -- The first of each key claims it. Another transaction's claim of the same key is waited for.
    WITH claimed AS (
        INSERT INTO product.holds (key, product_id, customer_id, quantity, ttl_seconds, tag, expires_at)
        SELECT f.key, f.product_id, f.customer_id, f.quantity, f.ttl, f.tag, 'infinity'
        FROM (
            SELECT DISTINCT ON (u.key) u.*
            FROM unnest(keys, product_ids, customer_ids, quantities, ttl_seconds, tags)
                WITH ORDINALITY AS u (key, product_id, customer_id, quantity, ttl, tag, ord)
            ORDER BY u.key, u.ord
        ) AS f
        ORDER BY f.key
        ON CONFLICT DO NOTHING
        RETURNING holds.key
    )
    SELECT array_agg(n.ord ORDER BY n.ord) INTO fresh
    FROM (SELECT array_position(keys, c.key) AS ord FROM claimed AS c) AS n;

    IF fresh IS NOT NULL THEN
        WITH decided AS (
            SELECT fresh[d.ord] AS ord, d.verdict, d.sale_id
            FROM product.reserve(
                (SELECT array_agg(product_ids[f.ord] ORDER BY f.ord) FROM unnest(fresh) AS f (ord)),
                (SELECT array_agg(customer_ids[f.ord] ORDER BY f.ord) FROM unnest(fresh) AS f (ord)),
                (SELECT array_agg(quantities[f.ord] ORDER BY f.ord) FROM unnest(fresh) AS f (ord)),
                (SELECT array_agg(tags[f.ord] ORDER BY f.ord) FROM unnest(fresh) AS f (ord)),
                true
            ) AS d
        ), held AS (
            UPDATE product.holds AS h
            SET expires_at = clock_timestamp() + make_interval(secs => h.ttl_seconds), sale_id = d.sale_id
            FROM decided AS d
            WHERE h.key = keys[d.ord] AND d.verdict = 'taken'
        ), gone AS (
            DELETE FROM product.holds AS h USING decided AS d WHERE h.key = keys[d.ord] AND d.verdict <> 'taken'
        )
        SELECT array_agg(CASE WHEN d.verdict <> 'taken' THEN d.verdict END ORDER BY r.ord) INTO refused
        FROM generate_series(1, requests) AS r (ord) LEFT JOIN decided AS d ON d.ord = r.ord;
    END IF;

    RETURN QUERY
    SELECT v.ord::integer, v.verdict, CASE WHEN v.verdict = 'held' THEN v.expires_at END
    FROM (
        SELECT
            u.ord, h.expires_at,
            CASE
                -- Refused itself, or a repetition of what was refused in this batch; or removed with its product.
                WHEN h.key IS NULL THEN coalesce(refused[array_position(keys, u.key)], 'not_found')
                WHEN (h.product_id, h.customer_id, h.quantity, h.ttl_seconds) IS DISTINCT FROM
                    (u.product_id, u.customer_id, u.quantity, u.ttl) OR h.tag IS DISTINCT FROM u.tag THEN 'conflict'
                WHEN h.status = 'held' AND h.expires_at <= clock_timestamp() THEN 'expired'
                ELSE h.status
            END AS verdict
        FROM unnest(keys, product_ids, customer_ids, quantities, ttl_seconds, tags)
            WITH ORDINALITY AS u (key, product_id, customer_id, quantity, ttl, tag, ord)
        LEFT JOIN product.holds AS h ON h.key = u.key
    ) AS v
    ORDER BY v.ord;
END
$$;

-- Ends holds that are known to be held and locked by the caller: moves their stock on and sets their status. What
-- is not confirmed becomes free and no longer counts towards its customer's limit.
CREATE FUNCTION product.settle_holds(keys text[], outcome text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
BEGIN
    PERFORM FROM product.stock AS s
    WHERE s.product_id = ANY (ARRAY(SELECT h.product_id FROM product.holds AS h WHERE h.key = ANY (keys)))
    ORDER BY s.product_id FOR UPDATE;

    UPDATE product.stock AS s
    SET held = s.held - t.quantity,
        sold = s.sold + CASE WHEN outcome = 'confirmed' THEN t.quantity ELSE 0 END,
        free = s.free + CASE WHEN outcome = 'confirmed' THEN 0 ELSE t.quantity END
    FROM (
        SELECT h.product_id, sum(h.quantity) AS quantity FROM product.holds AS h
        WHERE h.key = ANY (keys) GROUP BY h.product_id
    ) AS t
    WHERE s.product_id = t.product_id;

    IF outcome <> 'confirmed' THEN
        UPDATE product.sale_counters AS c SET bought = c.bought - t.quantity
        FROM (
            SELECT h.sale_id, h.customer_id, sum(h.quantity) AS quantity FROM product.holds AS h
            WHERE h.key = ANY (keys) AND h.sale_id IS NOT NULL GROUP BY h.sale_id, h.customer_id
        ) AS t
        WHERE c.sale_id = t.sale_id AND c.customer_id = t.customer_id;
    END IF;

    UPDATE product.holds AS h SET status = outcome, decided_at = clock_timestamp() WHERE h.key = ANY (keys);
END
$$;

-- Sells what is held. An expired hold cannot be confirmed, whether or not the sweeper has come by.
-- verdict: confirmed | released | expired | not_found
CREATE FUNCTION product.confirm_holds(keys text[]) RETURNS TABLE (ord integer, verdict text)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    moment  timestamptz;
    settled text[];
BEGIN
    PERFORM FROM product.holds AS h WHERE h.key = ANY (keys) ORDER BY h.key FOR UPDATE;
    moment := clock_timestamp();
    settled := ARRAY(
        SELECT h.key FROM product.holds AS h WHERE h.key = ANY (keys) AND h.status = 'held' AND h.expires_at > moment
    );
    IF cardinality(settled) > 0 THEN
        PERFORM product.settle_holds(settled, 'confirmed');
    END IF;
    RETURN QUERY
    SELECT u.ord::integer, CASE h.status WHEN 'held' THEN 'expired' ELSE coalesce(h.status, 'not_found') END
    FROM unnest(keys) WITH ORDINALITY AS u (key, ord) LEFT JOIN product.holds AS h ON h.key = u.key
    ORDER BY u.ord;
END
$$;

-- Gives back what is held, expired or not.
-- verdict: released | confirmed | expired (given back before) | not_found
CREATE FUNCTION product.release_holds(keys text[]) RETURNS TABLE (ord integer, verdict text)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    settled text[];
BEGIN
    PERFORM FROM product.holds AS h WHERE h.key = ANY (keys) ORDER BY h.key FOR UPDATE;
    settled := ARRAY(SELECT h.key FROM product.holds AS h WHERE h.key = ANY (keys) AND h.status = 'held');
    IF cardinality(settled) > 0 THEN
        PERFORM product.settle_holds(settled, 'released');
    END IF;
    RETURN QUERY
    SELECT u.ord::integer, coalesce(h.status, 'not_found')
    FROM unnest(keys) WITH ORDINALITY AS u (key, ord) LEFT JOIN product.holds AS h ON h.key = u.key
    ORDER BY u.ord;
END
$$;

-- Gives back what has expired, the longest expired first, and returns how many holds that were. Holds that
-- somebody is deciding right now are left to them.
CREATE FUNCTION product.expire_holds(max integer) RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
DECLARE
    settled text[];
BEGIN
    settled := ARRAY(
        SELECT h.key FROM product.holds AS h WHERE h.status = 'held' AND h.expires_at <= clock_timestamp()
        ORDER BY h.expires_at LIMIT max FOR UPDATE SKIP LOCKED
    );
    IF cardinality(settled) > 0 THEN
        PERFORM product.settle_holds(settled, 'expired');
    END IF;
    RETURN cardinality(settled);
END
$$;

-- Forgets holds that were decided longer than `age` ago, and returns how many. Their keys may be used again.
CREATE FUNCTION product.forget_holds(age interval, max integer) RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
DECLARE
    forgotten integer;
BEGIN
    DELETE FROM product.holds WHERE key = ANY (ARRAY(
        SELECT h.key FROM product.holds AS h WHERE h.status <> 'held' AND h.decided_at < clock_timestamp() - age
        ORDER BY h.decided_at LIMIT max FOR UPDATE SKIP LOCKED
    ));
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    RETURN forgotten;
END
$$;

-- Removes what belongs to a test run, and returns how many products that were. The locks are taken in the order
-- that all others take them in.
CREATE FUNCTION product.remove_test_data(tag text) RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    doomed uuid[] := ARRAY(SELECT p.id FROM product.products AS p WHERE p.tag = remove_test_data.tag);
BEGIN
    PERFORM FROM product.holds AS h WHERE h.product_id = ANY (doomed) ORDER BY h.key FOR UPDATE;
    PERFORM FROM product.stock AS s WHERE s.product_id = ANY (doomed) ORDER BY s.product_id FOR UPDATE;
    DELETE FROM product.sale_counters AS c
    WHERE c.sale_id IN (SELECT s.id FROM product.sales AS s WHERE s.product_id = ANY (doomed));
    DELETE FROM product.holds AS h WHERE h.product_id = ANY (doomed);
    DELETE FROM product.products AS p WHERE p.id = ANY (doomed);
    RETURN cardinality(doomed);
END
$$;

REVOKE ALL ON FUNCTION product.hold_stock(text[], uuid[], uuid[], integer[], integer[], text[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION product.settle_holds(text[], text) FROM PUBLIC;
REVOKE ALL ON FUNCTION product.confirm_holds(text[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION product.release_holds(text[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION product.expire_holds(integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION product.forget_holds(interval, integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION product.remove_test_data(text) FROM PUBLIC;
