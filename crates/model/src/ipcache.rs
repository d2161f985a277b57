//! ipcache.
