//! The planner's stories: a world in three lines, one change, and the plan as its reader sees it.
