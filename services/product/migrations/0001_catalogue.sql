-- What the shop sells: products and the sales that change their terms for a while.
-- Amounts are integer minor units (cents) with an ISO 4217 currency. All times are the database's.

CREATE TABLE product.products (
    id          uuid        PRIMARY KEY,
    sku         text        NOT NULL CONSTRAINT products_sku_key UNIQUE,
    name        text        NOT NULL,
    description text        NOT NULL,
    price_minor bigint      NOT NULL CONSTRAINT products_price_minor_check CHECK (price_minor >= 0),
    currency    text        NOT NULL CONSTRAINT products_currency_check CHECK (currency ~ '^[A-Z]{3}$'),
    -- Names the test run that a product belongs to. Such a product is not listed, and only that run may buy it.
    tag         text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT products_sku_check CHECK (length(sku) BETWEEN 1 AND 64),
    CONSTRAINT products_name_check CHECK (length(name) BETWEEN 1 AND 200),
    CONSTRAINT products_description_check CHECK (length(description) <= 4000),
    CONSTRAINT products_tag_check CHECK (length(tag) BETWEEN 1 AND 64)
);

-- The catalogue's pages: what has no tag, in order of id. Ids are UUIDv7, so that is the order of creation.
CREATE INDEX products_listed ON product.products (id) WHERE tag IS NULL;
CREATE INDEX products_tagged ON product.products (tag) WHERE tag IS NOT NULL;

-- A sale is a window with a limit per customer and, if it has one, a price. It is never changed: whoever bought
-- in it bought on its terms.
CREATE TABLE product.sales (
    id                 uuid        PRIMARY KEY,
    product_id         uuid        NOT NULL REFERENCES product.products ON DELETE CASCADE,
    starts_at          timestamptz NOT NULL,
    ends_at            timestamptz NOT NULL,
    limit_per_customer integer     NOT NULL CONSTRAINT sales_limit_check CHECK (limit_per_customer > 0),
    price_minor        bigint      CONSTRAINT sales_price_check CHECK (price_minor >= 0),
    created_at         timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT sales_window_check CHECK (starts_at < ends_at)
);

CREATE INDEX sales_by_product ON product.sales (product_id, ends_at);
