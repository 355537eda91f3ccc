"""Who is looked after and by whom: clients, sites, contacts, assets, collectors, people; the tenancy gate."""
