-- How much there is of each product. The row of a product is its gate: whatever changes its stock, its holds'
-- outcome, its sales or its counters holds the lock of this row while it does. Whoever locks several rows does so
-- in this order, which is why nothing here can deadlock:
--     1. rows of `holds`, by key          2. rows of `stock`, by product          3. rows of `sale_counters`

CREATE TABLE product.stock (
    product_id uuid   PRIMARY KEY REFERENCES product.products ON DELETE CASCADE,
    -- All that ever came in; the other three say where it is now.
    received   bigint NOT NULL DEFAULT 0,
    free       bigint NOT NULL DEFAULT 0 CONSTRAINT stock_free_check CHECK (free >= 0),
    held       bigint NOT NULL DEFAULT 0 CONSTRAINT stock_held_check CHECK (held >= 0),
    sold       bigint NOT NULL DEFAULT 0 CONSTRAINT stock_sold_check CHECK (sold >= 0),
    CONSTRAINT stock_balance_check CHECK (received = free + held + sold)
)
-- A flash sale writes one row thousands of times: room on its page keeps the versions there and prunable.
WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- What came in, by the reference under which it was told: the same delivery told twice counts once.
CREATE TABLE product.stock_receipts (
    product_id uuid        NOT NULL REFERENCES product.products ON DELETE CASCADE,
    reference  text        NOT NULL CONSTRAINT stock_receipts_reference_check CHECK (length(reference) BETWEEN 1 AND 128),
    added      bigint      NOT NULL CONSTRAINT stock_receipts_added_check CHECK (added > 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (product_id, reference)
);

-- How much a customer has bought or holds in a sale. There is no foreign key to the sale: to check it would cost more
-- than to write the row, in the middle of a flash sale. Only `reserve` writes rows, for the sale that it has just read.
CREATE TABLE product.sale_counters (
    sale_id     uuid    NOT NULL,
    customer_id uuid    NOT NULL,
    bought      integer NOT NULL CONSTRAINT sale_counters_bought_check CHECK (bought >= 0),
    allowed     integer NOT NULL,
    PRIMARY KEY (sale_id, customer_id),
    CONSTRAINT sale_counters_limit_check CHECK (bought <= allowed)
) WITH (fillfactor = 80);

-- Stock that is kept for a customer for a while. There is no foreign key to the product: its check would lock the
-- product's row, which stands outside of the order above.
CREATE TABLE product.holds (
    key         text        PRIMARY KEY CONSTRAINT holds_key_check CHECK (length(key) BETWEEN 1 AND 128),
    product_id  uuid        NOT NULL,
    customer_id uuid        NOT NULL,
    quantity    integer     NOT NULL CONSTRAINT holds_quantity_check CHECK (quantity > 0),
    ttl_seconds integer     NOT NULL CONSTRAINT holds_ttl_check CHECK (ttl_seconds BETWEEN 1 AND 86400),
    tag         text,
    sale_id     uuid,
    status      text        NOT NULL DEFAULT 'held'
        CONSTRAINT holds_status_check CHECK (status IN ('held', 'confirmed', 'released', 'expired')),
    expires_at  timestamptz NOT NULL,
    decided_at  timestamptz,
    CONSTRAINT holds_decided_check CHECK ((status = 'held') = (decided_at IS NULL))
) WITH (fillfactor = 70);

CREATE INDEX holds_due ON product.holds (expires_at) WHERE status = 'held';
CREATE INDEX holds_decided ON product.holds (decided_at) WHERE status <> 'held';
CREATE INDEX holds_by_product ON product.holds (product_id);

-- Two sales of a product at once would have two limits and two prices. The gate makes the look and the write one.
CREATE FUNCTION product.refuse_overlapping_sale() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM FROM product.stock AS s WHERE s.product_id = NEW.product_id FOR UPDATE;
    IF EXISTS (
        SELECT FROM product.sales AS s
        WHERE s.product_id = NEW.product_id AND s.id <> NEW.id
            AND s.starts_at < NEW.ends_at AND NEW.starts_at < s.ends_at
    ) THEN
        RAISE EXCEPTION 'the product has another sale in this window'
            USING ERRCODE = 'exclusion_violation', CONSTRAINT = 'sales_do_not_overlap';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER refuse_overlapping_sale BEFORE INSERT OR UPDATE ON product.sales
FOR EACH ROW EXECUTE FUNCTION product.refuse_overlapping_sale();
