"""Money and time: what a run may spend and how long it may take."""

from datetime import timedelta

from networks.services import update_network
from tasks.models import RunBody, Step
from tests.fakes.vendor_script import Fault

from .mesh import Mesh


def test_it_waits_at_its_budget_and_goes_on_when_that_is_raised(mesh: Mesh) -> None:
    network = mesh.network(budget="0.0001")
    mesh.begin_worker()
    [run] = mesh.submit(network)
    waiting = mesh.wait_waiting(run, "budget")
    assert waiting.clock_stopped_at is not None
    assert len(mesh.calls()) == 1  # one call is always allowed while money remains
    mesh.until(
        lambda: Step.objects.filter(run=run, wait_reason="budget").count() == 4, "all specialists wait"
    )
    update_network(network=network, changes={"budget": "10"})
    [ended] = mesh.wait_ended([run])
    assert ended.deadline_at
    assert waiting.deadline_at
    assert ended.deadline_at - waiting.deadline_at > timedelta(seconds=0.5)  # the clock stood meanwhile
    assert len(mesh.calls()) == 6
    mesh.assert_sound()


def test_it_ends_a_run_at_its_deadline_though_its_worker_is_well(mesh: Mesh) -> None:
    mesh.vendors.anthropic.always = Fault("drip", interval=0.1)
    mesh.start_worker()
    [run] = mesh.submit(mesh.network(timeout_seconds=2))
    [ended] = mesh.wait_ended([run], state="failed")
    assert ended.error_code == "timeout"
    mesh.until(lambda: all(call.gone.is_set() for call in mesh.calls()), "the call is aborted", 5)
    assert len(mesh.calls()) == 1
    mesh.assert_sound()


def test_it_goes_on_without_a_straggler_and_says_so(mesh: Mesh) -> None:
    network = mesh.network(timeout_seconds=8)
    slow = network.agents.get(type="design")
    its_subtask = rf"\"agent\":{{\"name\":\"{slow.name}"  # JSON in JSON
    mesh.vendors.anthropic.script(Fault("silence", match=its_subtask))
    mesh.start_worker()
    [run] = mesh.submit(network)
    [ended] = mesh.wait_ended([run])
    step = Step.objects.get(run=run, agent_id=slow.pk)
    # Whoever looks first: the worker that holds it, or a sweeper.
    assert (step.state, step.error_code) in (("failed", "provider_deadline"), ("cancelled", "straggler"))
    explanation = RunBody.objects.values_list("output__explanation", flat=True).get(pk=run.pk)
    assert slow.name in explanation.partition("Missing")[2]
    assert ended.finished_at
    assert ended.deadline_at
    assert ended.finished_at < ended.deadline_at
    mesh.assert_sound()
