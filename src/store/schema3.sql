-- Schema 3: more of what a sample says. A program with schema 2 leaves the new columns NULL.
-- Rows do not grow by the columns that are generated. Columns, units and meanings: docs/wire.md.

ALTER TABLE system_metrics ADD COLUMN memory_working_set_bytes INTEGER;
ALTER TABLE system_metrics ADD COLUMN oom_kills INTEGER;
ALTER TABLE system_metrics ADD COLUMN cpu_pressure_ms INTEGER;
ALTER TABLE system_metrics ADD COLUMN memory_pressure_ms INTEGER;
ALTER TABLE system_metrics ADD COLUMN memory_pressure_full_ms INTEGER;
ALTER TABLE system_metrics ADD COLUMN io_pressure_ms INTEGER;
ALTER TABLE system_metrics ADD COLUMN io_pressure_full_ms INTEGER;
ALTER TABLE system_metrics ADD COLUMN cpu_steal_ms INTEGER;
ALTER TABLE system_metrics ADD COLUMN io_read_bytes INTEGER;
ALTER TABLE system_metrics ADD COLUMN io_write_bytes INTEGER;
ALTER TABLE system_metrics ADD COLUMN io_read_bytes_per_second REAL
    GENERATED ALWAYS AS (io_read_bytes * 1000.0 / interval_ms) VIRTUAL;
ALTER TABLE system_metrics ADD COLUMN io_write_bytes_per_second REAL
    GENERATED ALWAYS AS (io_write_bytes * 1000.0 / interval_ms) VIRTUAL;
ALTER TABLE system_metrics ADD COLUMN disk_inodes_total INTEGER;
ALTER TABLE system_metrics ADD COLUMN disk_inodes_free INTEGER;
ALTER TABLE system_metrics ADD COLUMN net_rx_errors INTEGER;
ALTER TABLE system_metrics ADD COLUMN net_tx_errors INTEGER;
ALTER TABLE system_metrics ADD COLUMN tcp_established INTEGER;
ALTER TABLE system_metrics ADD COLUMN tcp_listen INTEGER;
ALTER TABLE system_metrics ADD COLUMN tcp_time_wait INTEGER;
ALTER TABLE system_metrics ADD COLUMN tcp_close_wait INTEGER;
ALTER TABLE system_metrics ADD COLUMN tcp_other INTEGER;
ALTER TABLE system_metrics ADD COLUMN processes_top TEXT;
ALTER TABLE system_metrics ADD COLUMN agent_alive INTEGER;
ALTER TABLE system_metrics ADD COLUMN agent_rss_bytes INTEGER;
ALTER TABLE system_metrics ADD COLUMN agent_cpu_cores_used REAL;
ALTER TABLE system_metrics ADD COLUMN agent_fds INTEGER;
ALTER TABLE system_metrics ADD COLUMN agent_restarts INTEGER;
