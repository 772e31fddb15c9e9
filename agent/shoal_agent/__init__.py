"""The agent: one per host, runs what the scheduler assigns and tells what became of it.

    session  <->  worker  ->  runner (one lane per task)  ->  engine
                    ^              |  asks machine.next_actions, a pure function
                  watch            +->  journal, reporter

Pure modules: task, plan, dependencies, machine, verdict, specification (and what it imports), labels, convert. Only
docker.py imports aiodocker; only convert.py and session.py know the generated messages.
"""

import shoal

VERSION = shoal.__version__
