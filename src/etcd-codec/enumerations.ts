/** The enumerations of the API by name. On the wire they are open: a field may carry any other number. */
export const sortOrder = { none: 0, ascend: 1, descend: 2 } as const
export const sortTarget = { key: 0, version: 1, create: 2, mod: 3, value: 4 } as const
export const compareResult = { equal: 0, greater: 1, less: 2, notEqual: 3 } as const
export const compareTarget = { version: 0, create: 1, mod: 2, value: 3, lease: 4 } as const
export const eventType = { put: 0, delete: 1 } as const
export const watchFilter = { noPut: 0, noDelete: 1 } as const
export const alarmAction = { get: 0, activate: 1, deactivate: 2 } as const
export const alarmType = { none: 0, noSpace: 1, corrupt: 2 } as const
export const downgradeAction = { validate: 0, enable: 1, cancel: 2 } as const
