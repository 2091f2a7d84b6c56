"""What a run does when its providers fail: the exact number of calls, and where the answer came from."""

import pytest

from agents.models import ModelCall
from tasks.lifecycle import cancel_run
from tasks.models import Run, Step
from tests.fakes.vendor_http import unused_url
from tests.fakes.vendor_script import Fault

from .mesh import CLAUDE_GPT, CLAUDE_GPT_GEMINI, Mesh

DOWN = Fault(status=503, headers={"retry-after": "1"})


def answered_by(run: Run) -> set[str]:
    return set(ModelCall.objects.filter(run_id=run.pk, state="succeeded").values_list("provider", flat=True))


def test_it_asks_the_next_provider_when_claude_is_down(mesh: Mesh) -> None:
    mesh.begin_worker(keys=CLAUDE_GPT, ANTHROPIC_BASE_URL=unused_url())
    [run] = mesh.wait_ended(mesh.submit(mesh.network()))
    assert answered_by(run) == {"openai"}
    assert len(mesh.calls("openai")) == 6
    assert "model.fallback" in mesh.events(run)


def test_it_asks_the_third_when_two_are_down(mesh: Mesh) -> None:
    mesh.begin_worker(
        keys=CLAUDE_GPT_GEMINI, ANTHROPIC_BASE_URL=unused_url(), OPENAI_BASE_URL=f"{unused_url()}/v1"
    )
    [run] = mesh.wait_ended(mesh.submit(mesh.network()))
    assert answered_by(run) == {"google"}
    assert len(mesh.calls("google")) == 6


def test_it_waits_while_all_are_down_and_ends_when_one_returns(mesh: Mesh) -> None:
    for vendor in mesh.vendors.all.values():
        vendor.always = DOWN
    worker = mesh.start_worker(keys=CLAUDE_GPT_GEMINI)
    [run] = mesh.submit(mesh.network())
    mesh.wait_waiting(run, "provider")
    step = Step.objects.get(run=run)
    assert (step.owner, step.crashes, step.tries) == ("", 0, 0)  # it holds no slot and is blamed for nothing
    assert [len(mesh.calls(vendor)) for vendor in ("anthropic", "openai", "google")] == [2, 2, 2]
    before = worker.cpu_seconds(), mesh.clock()
    mesh.until(lambda: mesh.clock() - before[1] > 3, "some time passes in waiting")
    busy = (worker.cpu_seconds() - before[0]) / (mesh.clock() - before[1])
    assert busy < 0.2, f"{busy:.0%} of a core in waiting"  # measured for good in the bench
    mesh.vendors.openai.always = None
    [run] = mesh.wait_ended([run])
    assert "openai" in answered_by(run)
    events = mesh.events(run)
    assert events.index("run.waiting") < events.index("run.resumed")
    mesh.assert_sound()


def test_it_fails_at_its_deadline_when_none_returns(mesh: Mesh) -> None:
    mesh.vendors.anthropic.always = DOWN
    mesh.begin_worker()
    [run] = mesh.submit(mesh.network(timeout_seconds=6))
    [run] = mesh.wait_ended([run], state="failed")
    assert run.error_code == "timeout"
    mesh.assert_sound()


def test_it_waits_out_a_short_limit_on_the_spot(mesh: Mesh) -> None:
    mesh.vendors.anthropic.script(Fault(status=429, headers={"retry-after": "2"}))
    mesh.begin_worker(keys=CLAUDE_GPT)
    [run] = mesh.wait_ended(mesh.submit(mesh.network()))
    first, second = mesh.calls("anthropic")[:2]
    assert second.at - first.at >= 2
    assert (len(mesh.calls("anthropic")), len(mesh.calls("openai"))) == (7, 0)
    assert "run.waiting" not in mesh.events(run)


def test_it_goes_elsewhere_at_once_when_a_limit_is_long(mesh: Mesh) -> None:
    mesh.vendors.anthropic.always = Fault(status=429, headers={"retry-after": "90"})
    mesh.begin_worker(keys=CLAUDE_GPT)
    mesh.wait_ended(mesh.submit(mesh.network()))
    assert (len(mesh.calls("anthropic")), len(mesh.calls("openai"))) == (1, 6)


@pytest.mark.parametrize(("retry_after", "wait"), [("90", 90), ("86400", 600)])
def test_it_gives_its_slot_back_for_a_limit_nobody_helps_with(
    mesh: Mesh, retry_after: str, wait: int
) -> None:
    mesh.vendors.anthropic.always = Fault(status=429, headers={"retry-after": retry_after})
    mesh.begin_worker()
    [run] = mesh.submit(mesh.network(timeout_seconds=3600))
    waiting = mesh.wait_waiting(run, "rate_limit")
    step = Step.objects.get(run=run)
    assert step.run_after
    assert wait - 5 < (step.run_after - waiting.updated_at).total_seconds() <= wait
    assert len(mesh.calls()) == 1
    cancel_run(run_id=run.pk)
    mesh.assert_sound()


def test_it_gives_up_a_silent_provider_in_time_for_the_next(mesh: Mesh) -> None:
    mesh.vendors.anthropic.script(Fault("silence"))
    mesh.start_worker(keys=CLAUDE_GPT)
    mesh.wait_ended(mesh.submit(mesh.network(timeout_seconds=8)))
    assert (len(mesh.calls("anthropic")), len(mesh.calls("openai"))) == (6, 1)
    mesh.assert_sound()


def test_it_asks_once_more_and_then_elsewhere_on_garbage(mesh: Mesh) -> None:
    mesh.vendors.anthropic.script(Fault("html"), Fault("cut_json"))
    mesh.begin_worker(keys=CLAUDE_GPT)
    mesh.wait_ended(mesh.submit(mesh.network()))
    assert (len(mesh.calls("anthropic")), len(mesh.calls("openai"))) == (7, 1)
    mesh.assert_sound()


def test_it_asks_a_provider_with_a_bad_key_once(mesh: Mesh) -> None:
    mesh.begin_worker(keys=CLAUDE_GPT, ANTHROPIC_API_KEY="bad-key")
    mesh.wait_ended(mesh.submit(mesh.network()))
    assert (len(mesh.calls("anthropic")), len(mesh.calls("openai"))) == (1, 6)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault(status=400), "provider_invalid_request"),
        (Fault(status=404), "provider_model_not_found"),
    ],
)
def test_it_fails_a_run_that_waiting_will_not_help(mesh: Mesh, fault: Fault, code: str) -> None:
    mesh.vendors.anthropic.always = fault
    mesh.begin_worker()
    [run] = mesh.wait_ended(mesh.submit(mesh.network()), state="failed")
    assert run.error_code == code
    assert len(mesh.calls()) == 1
    mesh.assert_sound()
