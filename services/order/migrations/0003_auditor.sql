-- The accountant (`shop_auditor`) reads every order, every key in use and every stored "no".
GRANT USAGE ON SCHEMA orders TO shop_auditor;
GRANT SELECT ON orders.orders, orders.claims, orders.refusals TO shop_auditor;
