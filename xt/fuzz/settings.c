/* Any bytes as a settings file: accepted whole, or refused with a sentence. */
#include <stdlib.h>

#include "base/settings.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lmi_settings *settings = NULL;
    struct lmi_err err = {.code = LMI_OK};
    enum lmi_rc rc =
        lmi_settings_parse((const char *)data, size, "fuzzed", &settings, &err);

    if (rc == LMI_OK) {
        if (settings->site_root[0] != '/' || settings->key_file == NULL ||
            settings->session_idle < 60 || settings->ports[LMI_CPANEL] == 0)
            abort();
    } else if (settings != NULL || err.code != rc || err.text == NULL) {
        abort();
    }
    lmi_settings_free(settings);
    return 0;
}
