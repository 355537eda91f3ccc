"""Billing runs, invoices and credit notes, payments, exports. Blind to tickets and time."""
