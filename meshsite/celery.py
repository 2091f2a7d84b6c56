"""The Celery application: it carries hints, and the database decides what runs.

A message only wakes a worker, so it is acknowledged at once, leaves no result and may be lost. Jobs live in
`jobs.py` of each app.
"""

import os
import warnings
from typing import Any

from celery import Celery
from celery.signals import celeryd_init, worker_init, worker_shutdown, worker_shutting_down
from kombu import Queue

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "meshsite.settings")

from django.conf import settings  # wants the variable above

from meshsite import tether

QUEUE = "steps"
# On a machine that is shared with the web, requests go first: a step waits seconds for a model anyway.
WORKER_NICENESS = 10

app = Celery("meshsite")
app.conf.update(
    broker_url=settings.CELERY_BROKER_URL,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,  # the default gives up after a hundred
    # With these a silent broker is left after 15 s; with kombu's defaults it was not in 100 s.
    broker_transport_options={
        "socket_connect_timeout": 1,
        "socket_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 10,
        "visibility_timeout": 3600,
    },
    accept_content=["json"],
    task_serializer="json",
    task_queues=[Queue(QUEUE)],
    task_default_queue=QUEUE,
    task_create_missing_queues=False,
    task_acks_late=False,  # the lease is the acknowledgement; late ones cost a worker when Redis restarts
    task_ignore_result=True,
    worker_pool="threads",
    worker_concurrency=4,  # synchronous work only: steps are coroutines on the worker's own loop
    worker_prefetch_multiplier=1,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    worker_hijack_root_logger=False,
    worker_send_task_events=settings.MESH_FLOWER_EVENTS,
)
# Celery warns root because of pickle; our messages are JSON, and in a container root is nobody.
warnings.filterwarnings("ignore", message="You're running the worker with superuser privileges")
app.set_default()  # for `celery.current_app` in threads as well
app.autodiscover_tasks(related_name="jobs")


@celeryd_init.connect
def give_the_worker_a_broker(conf: Any, **_: Any) -> None:
    """Without Redis a worker still runs: it listens to itself and finds its work in the database."""
    conf.broker_url = conf.broker_url or "memory://"


@worker_init.connect
def start_the_engine(sender: Any, **_: Any) -> None:
    """Start the worker's event loop; before the first connection, since it needs no broker."""
    from tasks.worker import runtime

    tether.tie_forks()
    os.nice(WORKER_NICENESS)
    runtime.start(hostname=sender.hostname)


@worker_shutting_down.connect
def stop_claiming(**_: Any) -> None:
    """SIGTERM has arrived: claim nothing more. Runs inside the signal handler, so it must not block."""
    from tasks.worker import runtime

    runtime.stop_claiming()


@worker_shutdown.connect
def drain_the_engine(**_: Any) -> None:
    """Finish or hand over the steps in hand; then the process may end."""
    from tasks.worker import runtime

    runtime.drain()
