-- What the accountant (`shop_auditor`) may know of auth: how many accounts a test has, and since when. Who they are,
-- their passwords' hashes, sessions and tokens are none of its business, which is why there is a view: it runs as its
-- owner, and whoever reads it may read no table.
CREATE VIEW auth.test_accounts AS
SELECT test_tag AS tag, count(*) AS accounts, min(created_at) AS first_created_at
FROM auth.accounts
WHERE test_tag IS NOT NULL
GROUP BY test_tag;

GRANT USAGE ON SCHEMA auth TO shop_auditor;
GRANT SELECT ON auth.test_accounts TO shop_auditor;
