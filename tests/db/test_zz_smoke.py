def test_smoke(tenant, engine, follower_engine, writer, own_database):
    assert tenant.id
