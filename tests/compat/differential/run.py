"""See differential/__init__.py."""
import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from differential.driver import Servers, describe, new_run  # noqa: E402

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("family", nargs="+")
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--resp", type=int, choices=(2, 3), default=2)
    parser.add_argument("--port", type=int)
    parser.add_argument("--show", type=int, default=10, help="differences to print")
    args = parser.parse_args()
    servers = Servers(args.port)
    found = 0
    try:
        for name in args.family:
            run = new_run(servers, name, args.seed, args.resp)
            run.steps(args.steps)
            run.close()
            for difference in run.differences[: args.show]:
                print(describe(difference))
            found += len(run.differences)
            counts = ", ".join(f"{name.decode('latin-1')} {n}" for name, n in sorted(run.commands.items()))
            print(f"{name}: {args.steps} commands ({counts}), {run.errors} errors, {len(run.differences)} differences")
    finally:
        servers.stop()
    sys.exit(1 if found else 0)
