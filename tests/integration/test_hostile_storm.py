"""Random malformed requests by the thousand: no server error, and nothing left over."""

from __future__ import annotations

from tests.factories import open_store, seeded
from tests.hostile import Storm, requests
from tests.hub_process import Start
from tests.ledger import LEDGER_KEYS, SECRET, Ledger, a_ledger, asking
from tests.processes import eventually

REQUESTS = 2500


async def test_malformed_requests_at_random_do_no_harm(migrated_sqlite_url: str, start_hub: Start) -> None:
    hub = start_hub(migrated_sqlite_url, HUB_SECRET_KEY=SECRET)
    hub.add_user("sender@example.com", "Sender", "correct horse battery")
    async with open_store(migrated_sqlite_url) as store:
        ledger = await a_ledger(store, pixels=2000)
        pixel = LEDGER_KEYS.sign(*ledger.pixel())
        right = requests(hub.create_token("sender@example.com"), pixel, ledger.messages[0].id)
        storm = Storm(hub, right, seeded().randrange(10**6))
        await storm.blow(REQUESTS)
        storm.check()
        assert {101, 200, 400, 401, 404, 422, 1002} <= storm.answers.keys()
        fresh = Ledger([await store.message(await store.sender(), recipients=["a@example.com"] * 500, shared=False)])
        async with asking(fresh, [hub], 2):
            await eventually(lambda: len(fresh.answered) > 20)
    assert hub.terminate() == 0
