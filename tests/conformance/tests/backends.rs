//! One line for each backend; see the crate's documentation for how to add one.

use shroud_conformance::suite;

suite!(tokio, shroud::backends::tokio::Tokio);
suite!(tokio_per_core, shroud::backends::tokio::TokioPerCore);
suite!(smol, shroud::backends::smol::Smol);
suite!(smol_per_core, shroud::backends::smol::SmolPerCore);
suite!(tokio_async_io, shroud::backends::matched::TokioAsyncIo);
suite!(glommio, shroud::backends::glommio::Glommio);
suite!(sim, shroud_sim::Sim { seed: 0 });
