-- Taking stock for good or for a while. `take_stock` is the contract with the order service, whose transaction
-- takes the stock and writes the order; `reserve` is what it shares with holds.

-- Decides requests in the order of the arrays, and moves what it grants out of `free`: to `held` when `to_hold`
-- is set, else to `sold`. One lock, one read and one write a product and batch, however many requests name it.
--
-- verdict: taken | sold_out (less free than asked at its turn; a smaller one later may still be taken)
--        | limit_reached | not_found (no such product, or one of another test run)
--
-- Plans are cached, and one made while a table was small would later read all of it. Every table here is looked up
-- by a key a few times a batch, so nothing but index scans and nested loops is allowed. That makes some plans look
-- expensive enough to be compiled, which costs 8 ms a call: hence no jit.
CREATE FUNCTION product.reserve(
    product_ids uuid[], customer_ids uuid[], quantities integer[], tags text[], to_hold boolean
) RETURNS TABLE (ord integer, verdict text, unit_price_minor bigint, currency text, sale_id uuid, free bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    requests   integer := cardinality(product_ids);
    -- One element a product, in order of id.
    offers     uuid[];
    offer_tags text[];
    prices     bigint[];
    currencies text[];
    sales      uuid[];
    limits     integer[];
    left_over  bigint[];
    granted    bigint[];
    -- One element a request.
    verdicts   text[] := array_fill(NULL::text, ARRAY[requests]);
    positions  integer[] := array_fill(NULL::integer, ARRAY[requests]);
    left_after bigint[] := array_fill(NULL::bigint, ARRAY[requests]);
    -- One element a customer and sale of this batch, by number; NULL until it is first seen.
    bought     integer[] := '{}';
    moment     timestamptz;
    item       record;
BEGIN
    IF cardinality(customer_ids) IS DISTINCT FROM requests OR cardinality(quantities) IS DISTINCT FROM requests
        OR cardinality(tags) IS DISTINCT FROM requests
    THEN
        RAISE EXCEPTION 'the arrays differ in length' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF array_position(product_ids, NULL) IS NOT NULL OR array_position(customer_ids, NULL) IS NOT NULL
        OR (0 < ALL (quantities)) IS NOT TRUE
    THEN
        RAISE EXCEPTION 'a request needs a product, a customer and a positive quantity'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    PERFORM FROM product.stock AS s WHERE s.product_id = ANY (product_ids) ORDER BY s.product_id FOR UPDATE;

    -- After the locks: a sale that ended while they were waited for has ended.
    moment := clock_timestamp();
    SELECT
        array_agg(s.product_id ORDER BY s.product_id), array_agg(p.tag ORDER BY s.product_id),
        array_agg(coalesce(e.price_minor, p.price_minor) ORDER BY s.product_id),
        array_agg(p.currency ORDER BY s.product_id),
        array_agg(e.id ORDER BY s.product_id), array_agg(e.limit_per_customer ORDER BY s.product_id),
        array_agg(s.free ORDER BY s.product_id), array_agg(0::bigint)
    INTO offers, offer_tags, prices, currencies, sales, limits, left_over, granted
    FROM product.stock AS s
    JOIN product.products AS p ON p.id = s.product_id
    LEFT JOIN product.sales AS e ON e.product_id = s.product_id AND e.starts_at <= moment AND moment < e.ends_at
    WHERE s.product_id = ANY (product_ids);

    FOR item IN
        SELECT
            r.ord, r.quantity, r.tag, r.at,
            CASE WHEN sales[r.at] IS NOT NULL THEN dense_rank() OVER (ORDER BY r.at, r.customer_id) END AS slot,
            (SELECT c.bought FROM product.sale_counters AS c
             WHERE c.sale_id = sales[r.at] AND c.customer_id = r.customer_id) AS bought
        FROM (
            SELECT u.*, array_position(offers, u.product_id) AS at
            FROM unnest(product_ids, customer_ids, quantities, tags)
                WITH ORDINALITY AS u (product_id, customer_id, quantity, tag, ord)
        ) AS r
        ORDER BY r.ord
    LOOP
        IF item.at IS NULL OR offer_tags[item.at] IS DISTINCT FROM item.tag THEN
            verdicts[item.ord] := 'not_found';
            CONTINUE;
        END IF;
        positions[item.ord] := item.at;
        IF left_over[item.at] < item.quantity THEN
            verdicts[item.ord] := 'sold_out';
        ELSIF coalesce(bought[item.slot], item.bought, 0) + item.quantity > limits[item.at] THEN
            verdicts[item.ord] := 'limit_reached';
        ELSE
            verdicts[item.ord] := 'taken';
            left_over[item.at] := left_over[item.at] - item.quantity;
            granted[item.at] := granted[item.at] + item.quantity;
            IF item.slot IS NOT NULL THEN
                bought[item.slot] := coalesce(bought[item.slot], item.bought, 0) + item.quantity;
            END IF;
        END IF;
        left_after[item.ord] := left_over[item.at];
    END LOOP;

    UPDATE product.stock AS s
    SET free = s.free - g.granted,
        held = s.held + CASE WHEN to_hold THEN g.granted ELSE 0 END,
        sold = s.sold + CASE WHEN to_hold THEN 0 ELSE g.granted END
    FROM unnest(offers, granted) AS g (product_id, granted)
    WHERE s.product_id = g.product_id AND g.granted > 0;

    IF cardinality(bought) > 0 THEN
        INSERT INTO product.sale_counters AS c (sale_id, customer_id, bought, allowed)
        SELECT sales[r.at], r.customer_id, sum(r.quantity), limits[r.at]
        FROM unnest(positions, customer_ids, quantities, verdicts) AS r (at, customer_id, quantity, verdict)
        WHERE r.verdict = 'taken' AND sales[r.at] IS NOT NULL
        GROUP BY r.at, r.customer_id
        ORDER BY sales[r.at], r.customer_id
        ON CONFLICT ON CONSTRAINT sale_counters_pkey DO UPDATE SET bought = c.bought + excluded.bought;
    END IF;

    RETURN QUERY
    SELECT r.ord::integer, r.verdict, prices[r.at], currencies[r.at], sales[r.at], r.left_after
    FROM unnest(verdicts, positions, left_after) WITH ORDINALITY AS r (verdict, at, left_after, ord)
    ORDER BY r.ord;
END
$$;

-- The contract with the order service. A caller's transaction that rolls back gives everything back.
CREATE FUNCTION product.take_stock(
    product_ids uuid[], customer_ids uuid[], quantities integer[], tags text[]
) RETURNS TABLE (ord integer, verdict text, unit_price_minor bigint, currency text, sale_id uuid, free bigint)
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT * FROM product.reserve(product_ids, customer_ids, quantities, tags, false)
$$;

-- Which of these products are in a sale at this moment.
CREATE FUNCTION product.flash_sale(product_ids uuid[])
RETURNS TABLE (product_id uuid, sale_id uuid, ends_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT s.product_id, s.id, s.ends_at FROM product.sales AS s
    WHERE s.product_id = ANY (product_ids) AND s.starts_at <= clock_timestamp() AND clock_timestamp() < s.ends_at
$$;

-- Takes a delivery in, once a reference.
-- verdict: received | repeated (told before) | conflict (told before with another amount) | not_found
CREATE FUNCTION product.receive_stock(product_id uuid, added bigint, reference text) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    known bigint;
BEGIN
    PERFORM FROM product.stock AS s WHERE s.product_id = receive_stock.product_id FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'not_found';
    END IF;
    SELECT r.added INTO known FROM product.stock_receipts AS r
    WHERE r.product_id = receive_stock.product_id AND r.reference = receive_stock.reference;
    IF FOUND THEN
        RETURN CASE WHEN known = receive_stock.added THEN 'repeated' ELSE 'conflict' END;
    END IF;
    INSERT INTO product.stock_receipts (product_id, reference, added)
    VALUES (receive_stock.product_id, receive_stock.reference, receive_stock.added);
    UPDATE product.stock AS s
    SET received = s.received + receive_stock.added, free = s.free + receive_stock.added
    WHERE s.product_id = receive_stock.product_id;
    RETURN 'received';
END
$$;

REVOKE ALL ON FUNCTION product.reserve(uuid[], uuid[], integer[], text[], boolean) FROM PUBLIC;
REVOKE ALL ON FUNCTION product.take_stock(uuid[], uuid[], integer[], text[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION product.flash_sale(uuid[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION product.receive_stock(uuid, bigint, text) FROM PUBLIC;

GRANT USAGE ON SCHEMA product TO shop_order;
GRANT EXECUTE ON FUNCTION product.take_stock(uuid[], uuid[], integer[], text[]) TO shop_order;
GRANT EXECUTE ON FUNCTION product.flash_sale(uuid[]) TO shop_order;
