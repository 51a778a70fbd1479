;; Never ends: what a hostile contract looks like to the driver.
(module
  (memory (export "memory") 1)
  (func (export "shroud_init"))
  (func (export "shroud_call")
    (loop $forever
      (br $forever))))
