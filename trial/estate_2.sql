-- What the estate has since its second version. Run after estate.sql, and once on an estate from before.

-- Closed books, month by month. The audit report reads them; the daily report has no need to.
CREATE TABLE reports.month_end (
    month date PRIMARY KEY,
    revenue_cents bigint NOT NULL,
    signed_by text NOT NULL
);
INSERT INTO reports.month_end
SELECT date_trunc('month', current_date) - n * interval '1 month', 90000000 + n * 1237711 % 9000000, 'controller'
FROM generate_series(1, 24) AS n;
