/* All that is wrong with a site's files, not only what one login needs. */
#ifndef LMI_SURVEY_H
#define LMI_SURVEY_H

#include "accounts/site.h"

/*
 * See lmi_site_report_get() in logmein.h. A file that can't be used is a note,
 * and the others are read all the same. Fails for want of memory only.
 */
LMI_RC lmi_survey(struct lmi_site *site, struct lmi_site_report *out,
                  struct lmi_err *err);

#endif
