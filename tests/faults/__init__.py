"""Workers, planner and storage under faults: nothing acknowledged may be lost, no budget missed."""
