impl super::Report { pub(crate) fn html(&self)->String{String::new()} }
