"""The worker of a product whose instances `reconcile` allocates, as the tests and the playground run it.

Its one task logs in to the instance's database with the credentials that it was handed, makes a table, writes a row,
and tells what it did. It is what a real worker would be, made short: run it with

    celery --app worker worker --pool solo --queues instance_provisioning

Variables: WORKER_BROKER_URL; WORKER_RESULT_URL, for results; WORKER_VISIBILITY_TIMEOUT, in seconds, after which a task
that nobody has acknowledged is given to the next worker; WORKER_TASK and WORKER_MODE: `work` (default), `fail` (with the
password in the message, as careless programs do), `sleep` (in the middle of the work, for a minute).
"""

import json
import os
import time

import pg8000.native
import redis
from celery import Celery
from celery.utils.log import get_task_logger

BROKER = os.environ["WORKER_BROKER_URL"]
MODE = os.environ.get("WORKER_MODE", "work")

app = Celery("worker", broker=BROKER, backend=os.environ.get("WORKER_RESULT_URL"))
app.conf.broker_connection_retry_on_startup = True
app.conf.broker_transport_options = {
    "visibility_timeout": int(os.environ.get("WORKER_VISIBILITY_TIMEOUT", "3600")),
    # Look for such tasks every second, where otherwise minutes may pass.
    "unacked_restore_interval": 1,
    "unacked_restore_throttle": 1,
}
# A task counts as done when it is done: the work of a worker that dies in the middle goes to the next one.
app.conf.task_acks_late = True
app.conf.worker_prefetch_multiplier = 1

log = get_task_logger(__name__)


@app.task(bind=True, name=os.environ.get("WORKER_TASK", "instance.provision_instance"))
def provision_instance(task, instance_id, db_credentials):
    log.info("instance %s: begun", instance_id)
    credentials = db_credentials if isinstance(db_credentials, dict) else look_up(db_credentials)
    database = pg8000.native.Connection(
        credentials["db_user"],
        password=credentials["db_password"],
        host=credentials["db_host"],
        port=credentials["db_port"],
        database=credentials["db_name"],
        timeout=10,
    )
    try:
        database.run("CREATE TABLE IF NOT EXISTS provisioned (task_id TEXT, instance_id TEXT)")
        if MODE == "fail":
            raise RuntimeError(f"no luck with {credentials['db_password']}")
        if MODE == "sleep":
            log.info("instance %s: asleep", instance_id)
            time.sleep(60)
        # Whoever is given the same task again finds it done.
        database.run(
            "INSERT INTO provisioned SELECT :task, :instance WHERE NOT EXISTS"
            " (SELECT FROM provisioned WHERE task_id = :task)",
            task=task.request.id,
            instance=instance_id,
        )
    finally:
        database.close()
    log.info("instance %s: done", instance_id)
    return {"database": credentials["db_name"]}


def look_up(key):
    """The credentials behind a name, where the message holds no more than that."""
    with redis.Redis.from_url(BROKER, socket_timeout=10) as store:
        found = store.get(key)
    if found is None:
        raise LookupError(f"no credentials under {key}")
    return json.loads(found)
