"""Active questions. A probe is one file:

    SPEC: kernel.plugins.Spec
    async def probe(question: Question, reach: Reach) -> Answer

`question.settings` come from SPEC.read. It connects only to what `reach.resolve` gave it, raises NoAnswer
when nothing (or nonsense) came, NotAsked when it could not ask, and needs no timeout: the caller ends the
run, and says at which `question.doing(…)` it stood. How to add one: docs/howto/add-a-probe.md.
"""
