"""The record: the journal, the chart of accounts and the invariants."""
