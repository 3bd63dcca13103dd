-- Renews the lease; it changes no row if another run has taken over.
UPDATE {{ database | ident }}.RAW.LOAD_LEASE
SET EXPIRES_AT = DATEADD('second', :3, SYSDATE())
WHERE SOURCE = :1 AND TOKEN = :2 AND HOLDER = :4
