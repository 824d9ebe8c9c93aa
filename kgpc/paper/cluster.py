"""Reruns on the machines of a Ray cluster: one task for each run, on as many machines as there are.

Ray starts a task where the processors and GPUs that it asks for are free, and starts it again when the process or the
machine that had it dies. The new attempt finds the folder of the run in the results, and goes on after the last
complete epoch.
"""

from kgpc.files import make_folder
from kgpc.paper import execution, storage
from kgpc.paper.run_folder import say

RETRIES = 5  # of a run whose worker dies


def execute_all(selected, output, address="local", cpus=1, gpus=0, retries=RETRIES, progress=True):
    """Trains and tests runs on a Ray cluster.

    Args:
        selected: list of `Run`.
        output: path of a folder that all machines see, or a URL that fsspec knows; see
            `kgpc.paper.storage.checked_place`.
        address: "local" to start Ray on this computer, for as long as this takes; or the address of a cluster, such as
            "auto" on one of its machines, or "ray://host:10001" from outside. kgpc must be installed on all machines.
            Where this process is connected to a cluster already, that one is used.
        cpus: number >= 0, processors that Ray reserves for each run. TensorFlow uses that many threads.
        gpus: number >= 0, GPUs, likewise; a fraction lets several runs share one.
        retries: int, how many times a run is started again when its worker dies.
        progress: bool, whether to print a line for each run that ends.

    Returns:
        List of `kgpc.paper.execution.Outcome`, in the order of `selected`.

    Raises:
        ModuleNotFoundError: if Ray is not installed.
        ConnectionError: if there is no cluster at the address.
        ValueError: if a folder has a run with another recipe, or no machine has the processors and GPUs of a run.
    """
    ray = import_ray()
    output = storage.checked_place(output, on_cluster=True)
    if not storage.is_url(output):
        make_folder("output", output)
        for run in selected:
            execution.check_config(run, output)
    started = not ray.is_initialized()
    if started:
        options = {} if address == "local" else {"address": address}
        try:
            ray.init(**options, log_to_driver=False, logging_level="error")
        except Exception as error:  # Ray has a kind for each kind of address
            raise ConnectionError(f"There is no Ray cluster at {address!r}: {type(error).__name__}: {error}") from error
    try:
        _check_resources(ray, cpus, gpus)
        threads = str(max(1, int(cpus)))
        task = ray.remote(storage.attempt).options(
            num_cpus=cpus,
            num_gpus=gpus,
            max_retries=retries,
            # So that runs side by side do not share out their processors twice.
            runtime_env={"env_vars": {"TF_NUM_INTRAOP_THREADS": threads, "TF_NUM_INTEROP_THREADS": threads}},
        )
        return collect(selected, lambda run: task.remote(run, output), ray.wait, ray.get, progress)
    finally:
        if started:
            ray.shutdown()


def import_ray():
    """Ray; a ModuleNotFoundError says what to install."""
    try:
        import ray
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError('Ray is not installed; a cluster needs: pip install "kgpc[cluster]"') from error
    return ray


def _check_resources(ray, cpus, gpus):
    """Refuses what no machine has: Ray would wait for such a machine, forever."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(machine.get("CPU", 0) >= cpus and machine.get("GPU", 0) >= gpus for machine in machines):
        raise ValueError(
            f"`cpus` and `gpus` must be what one machine of the cluster has. Received: cpus={cpus}, gpus={gpus}; "
            f"the machines have {[{kind: machine.get(kind, 0) for kind in ('CPU', 'GPU')} for machine in machines]}."
        )


def collect(selected, submit, wait, get, progress=True):
    """Submits all runs and gathers how they end, in the order in which they do.

    Args:
        selected: list of `Run`.
        submit: function of a run, returns a reference to its task.
        wait: function of a list of references, returns those that have ended (one at least) and the others.
        get: function of a reference, returns the `Outcome`, or raises what the system could not repair.
        progress: bool, whether to print a line for each run that ends.

    Returns:
        List of `Outcome` in the order of `selected`.
    """
    pending = {submit(run): run for run in selected}
    outcomes = {}
    while pending:
        ended, _ = wait(list(pending))
        for reference in ended:
            run = pending.pop(reference)
            try:
                outcomes[run.name] = get(reference)
            except Exception as error:  # its workers died more often than it may be started again
                outcomes[run.name] = execution.Outcome(
                    run.name, execution.FAILED, f"{type(error).__name__}: {str(error).splitlines()[0]}"
                )
            if progress:
                say(f"{len(outcomes)} of {len(selected)}, {run.name}: {outcomes[run.name]}")
    return [outcomes[run.name] for run in selected]
