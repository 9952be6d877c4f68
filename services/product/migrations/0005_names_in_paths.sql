-- A sku and a tag are asked for by path, where proxies resolve slashes and dots, even encoded ones. A row from before
-- this rule stays as it is, since a shop should not fail to start because of one, and is refused when it is changed.
ALTER TABLE product.products
    ADD CONSTRAINT products_sku_in_path_check
        CHECK (sku ~ '^[!-.0-\[\]-~]+$' AND sku NOT IN ('.', '..')) NOT VALID,
    ADD CONSTRAINT products_tag_in_path_check
        CHECK (tag ~ '^[!-.0-\[\]-~]+$' AND tag NOT IN ('.', '..')) NOT VALID;
