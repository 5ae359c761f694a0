/** The etcd release whose API is claimed: clients choose features by it. */
export const etcdVersion = '3.6.6'
export const quorateVersion = '0.1.0'
