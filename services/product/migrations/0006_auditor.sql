-- The accountant (`shop_auditor`) reads what there is, where all stock is, and what limits have counted.
GRANT USAGE ON SCHEMA product TO shop_auditor;
GRANT SELECT ON
    product.products, product.sales, product.stock, product.stock_receipts, product.sale_counters, product.holds
TO shop_auditor;
