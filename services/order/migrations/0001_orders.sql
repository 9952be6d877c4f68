-- Orders, the idempotency keys they came with, and the one function that decides them.
-- Every table is append-only: a row is inserted once and, keys and refusals only, swept a day later.

-- An idempotency key in use. `decision_id` is the order's id, or the refusal's.
CREATE TABLE orders.claims (
    customer_id uuid NOT NULL,
    key text COLLATE "C" NOT NULL CHECK (octet_length(key) BETWEEN 1 AND 128),
    body_hash bytea NOT NULL,
    decision_id uuid NOT NULL,
    tag text,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (customer_id, key)
);
-- For the sweeper, oldest first.
CREATE INDEX claims_created_at ON orders.claims (created_at);
CREATE INDEX claims_tag ON orders.claims (tag) WHERE tag IS NOT NULL;

CREATE TABLE orders.orders (
    id uuid PRIMARY KEY,
    customer_id uuid NOT NULL,
    key text COLLATE "C" NOT NULL,
    product_id uuid NOT NULL,
    quantity int NOT NULL CHECK (quantity > 0),
    unit_price_minor bigint NOT NULL CHECK (unit_price_minor >= 0),
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    sale_id uuid,
    tag text,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- A total stays exact in clients whose numbers are doubles.
    CHECK (unit_price_minor <= 9007199254740991 / quantity)
);
-- A customer's orders, newest first: the ids are UUIDv7.
CREATE INDEX orders_customer ON orders.orders (customer_id, id);
CREATE INDEX orders_tag ON orders.orders (tag) WHERE tag IS NOT NULL;

-- A "no" that is repeated for as long as its key is kept.
CREATE TABLE orders.refusals (
    decision_id uuid PRIMARY KEY,
    verdict text NOT NULL CHECK (verdict IN ('sold_out', 'limit_reached')),
    product_id uuid NOT NULL,
    quantity int NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Decides a batch in arrival order, in the caller's one transaction; one row an item comes back.
--
-- Verdicts: confirmed, sold_out, limit_reached (each stored; `replayed` when an earlier call decided it),
-- not_found (not stored), reused (the key came with another body before), unsettled (the key's decision
-- vanished while we looked: ask again).
--
-- No two calls can deadlock: each takes its claims in the order of (customer, key), then, inside
-- `product.take_stock`, its stock rows and its counters in theirs, and never goes back.
-- A claim in flight elsewhere makes this call wait for that transaction's end; what it committed is read
-- by a later statement, which has its own snapshot.
CREATE FUNCTION orders.decide(
    customers uuid[],
    keys text[],
    body_hashes bytea[],
    product_ids uuid[],
    quantities int[],
    tags text[],
    decision_ids uuid[]
)
RETURNS TABLE (
    ord int,
    verdict text,
    decision_id uuid,
    replayed boolean,
    unit_price_minor bigint,
    currency text,
    decided_at timestamptz
)
LANGUAGE plpgsql
-- Compiling a plan takes longer than running it.
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    -- What this call has claimed, in arrival order: places in the arguments, then the arguments there.
    claimed uuid[];
    places int[];
    ids uuid[] := decision_ids;
    their_customers uuid[] := customers;
    their_keys text[] := keys;
    their_products uuid[] := product_ids;
    their_quantities int[] := quantities;
    their_tags text[] := tags;
    -- What `product.take_stock` said of each of those.
    verdicts text[];
    prices bigint[];
    currencies text[];
    sales uuid[];
BEGIN
    WITH inserted AS (
        INSERT INTO orders.claims AS claim (customer_id, key, body_hash, decision_id, tag)
        SELECT asked.customer_id, asked.key, asked.body_hash, asked.decision_id, asked.tag
          FROM unnest(customers, keys, body_hashes, decision_ids, tags) WITH ORDINALITY
            AS asked (customer_id, key, body_hash, decision_id, tag, ord)
         ORDER BY asked.customer_id, asked.key COLLATE "C", asked.ord
        ON CONFLICT (customer_id, key) DO NOTHING
        RETURNING claim.decision_id
    )
    SELECT array_agg(inserted.decision_id) INTO claimed FROM inserted;

    IF cardinality(claimed) = cardinality(decision_ids) THEN
        places := ARRAY(SELECT generate_subscripts(decision_ids, 1));
    ELSIF claimed IS NOT NULL THEN
        SELECT array_agg(place), array_agg(decision_ids[place]), array_agg(customers[place]), array_agg(keys[place]),
               array_agg(product_ids[place]), array_agg(quantities[place]), array_agg(tags[place])
          INTO places, ids, their_customers, their_keys, their_products, their_quantities, their_tags
          FROM (SELECT place
                  FROM generate_subscripts(decision_ids, 1) AS place
                  JOIN unnest(claimed) AS mine (id) ON mine.id = decision_ids[place]
                 ORDER BY place) AS arrived;
    END IF;

    IF claimed IS NOT NULL THEN
        SELECT array_agg(taken.verdict), array_agg(taken.unit_price_minor),
               array_agg(taken.currency), array_agg(taken.sale_id)
          INTO verdicts, prices, currencies, sales
          FROM (SELECT * FROM product.take_stock(their_products, their_customers, their_quantities, their_tags)
                 ORDER BY ord) AS taken;
        IF cardinality(verdicts) IS DISTINCT FROM cardinality(ids) THEN
            RAISE EXCEPTION 'product.take_stock gave % verdicts for % items',
                coalesce(cardinality(verdicts), 0), cardinality(ids);
        END IF;

        INSERT INTO orders.orders
               (id, customer_id, key, product_id, quantity, unit_price_minor, currency, sale_id, tag)
        SELECT item.id, item.customer_id, item.key, item.product_id, item.quantity,
               item.unit_price_minor, item.currency, item.sale_id, item.tag
          FROM unnest(ids, their_customers, their_keys, their_products, their_quantities,
                      prices, currencies, sales, their_tags, verdicts)
            AS item (id, customer_id, key, product_id, quantity,
                     unit_price_minor, currency, sale_id, tag, verdict)
         WHERE item.verdict = 'taken';

        IF verdicts && ARRAY['sold_out', 'limit_reached'] THEN
            INSERT INTO orders.refusals (decision_id, verdict, product_id, quantity)
            SELECT item.id, item.verdict, item.product_id, item.quantity
              FROM unnest(ids, verdicts, their_products, their_quantities)
                AS item (id, verdict, product_id, quantity)
             WHERE item.verdict IN ('sold_out', 'limit_reached');
        END IF;

        -- Nothing was decided about a product that is not there: its key stays free. A row at a time,
        -- so that no plan made while the table was small ever reads all of it.
        IF 'not_found' = ANY (verdicts) THEN
            FOR place IN 1 .. cardinality(verdicts) LOOP
                IF verdicts[place] = 'not_found' THEN
                    DELETE FROM orders.claims AS claim
                     WHERE claim.customer_id = their_customers[place] AND claim.key = their_keys[place];
                END IF;
            END LOOP;
        END IF;

        RETURN QUERY
        SELECT item.ord, CASE item.verdict WHEN 'taken' THEN 'confirmed' ELSE item.verdict END,
               item.id, false, item.unit_price_minor, item.currency, now()
          FROM unnest(places, verdicts, ids, prices, currencies)
            AS item (ord, verdict, id, unit_price_minor, currency);
    END IF;

    -- The others' keys were claimed before. Laterals with a limit keep it at three index probes an item.
    IF cardinality(claimed) IS DISTINCT FROM cardinality(decision_ids) THEN
        RETURN QUERY
        SELECT place,
               CASE WHEN claim.body_hash <> body_hashes[place] THEN 'reused'
                    WHEN placed.id IS NOT NULL THEN 'confirmed'
                    ELSE coalesce(refusal.verdict, 'unsettled') END,
               claim.decision_id,
               claim.decision_id IS DISTINCT FROM decision_ids[place],
               placed.unit_price_minor, placed.currency,
               coalesce(placed.created_at, refusal.created_at)
          FROM generate_subscripts(decision_ids, 1) AS place
          LEFT JOIN unnest(places) AS done (place) USING (place)
          LEFT JOIN LATERAL (
               SELECT * FROM orders.claims AS c
                WHERE c.customer_id = customers[place] AND c.key = keys[place] LIMIT 1) AS claim ON true
          LEFT JOIN LATERAL (
               SELECT * FROM orders.orders AS o WHERE o.id = claim.decision_id LIMIT 1) AS placed ON true
          LEFT JOIN LATERAL (
               SELECT * FROM orders.refusals AS r WHERE r.decision_id = claim.decision_id LIMIT 1) AS refusal ON true
         WHERE done.place IS NULL;
    END IF;
END
$$;
