-- An idempotency key is asked for by path (`/api/orders/by-key/{key}`), where proxies resolve slashes and dots, even
-- encoded ones. What is there already stays as it is, hence no validation of old rows.
ALTER TABLE orders.claims
    ADD CONSTRAINT claims_key_in_path_check
        CHECK (key ~ '^[!-.0-\[\]-~]+$' AND key NOT IN ('.', '..')) NOT VALID;
