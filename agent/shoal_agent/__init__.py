"""The agent: one per host, runs what the scheduler assigns and tells what became of it.

    session  <->  worker  ->  life.runner (one lane per task)  ->  engine
                    ^              |  asks life.machine.next_actions, a pure function
                  watch            +->  memory.journal, reporter

Pure: life but for runner, steps and case; definition but for links of host paths and files; memory.record;
convert. Only engine imports aiodocker; only convert and session, and the streams of logs and commands, know the
generated messages.
"""

import shoal

VERSION = shoal.__version__
