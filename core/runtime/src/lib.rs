//! The seam: everything a task may ask of the world.
