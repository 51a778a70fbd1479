//! The Shroud node: the facade library and the shroud command.
