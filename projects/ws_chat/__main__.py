"""`make run-ws_chat`: stop answers, cut lines at two replicas, time tokens; what was lost, what it cost."""

import shutil

from projects.ws_chat.config import Config
from projects.ws_chat.study import TABLES, measures
from shared.errors import command


def main(config: Config) -> None:
    """Take every measure at a small size, and print each as it is there."""
    wanted = measures(config)
    if shutil.which("redis-server") is None or shutil.which("nginx") is None:
        print("cuts at two replicas are left out: `apt-get install redis-server nginx` brings what they need")
        del wanted["cuts"]
    rows = {}
    for table in TABLES:
        if table.name in wanted:
            rows[table.name] = wanted[table.name]()
            table.print(rows[table.name])
    stopped, cut = rows["stops"][0], rows.get("cuts", [])
    most, lost = stopped["tokens_after_most"], sum(row["faults"] for row in cut)
    print(f"After Stop the model computed at most {most} token more, in {stopped['stops']} answers;", end=" ")
    print(f"{sum(row['cuts'] for row in cut)} lines that were cut lost {lost} events.")


if __name__ == "__main__":
    command(main, Config)
